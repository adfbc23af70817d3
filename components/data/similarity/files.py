"""What is kept of many examples lies on disk: memory holds where each record ends."""

from __future__ import annotations

import os
import tempfile
import weakref
from array import array
from collections.abc import Sequence

import numpy
from numpy.typing import NDArray

from kfp_llm_tuning.components.data.similarity.sketches import Sketch

_BUFFERED_BYTES = 2**20


class RecordFile:
    """Records of any length in a temporary file without a name: eight bytes of memory each."""

    def __init__(self) -> None:
        """Starts empty."""
        self._descriptor = _open_unnamed(self)
        self._ends = array("q", [0])
        self._written = 0
        self._buffer = bytearray()

    def __len__(self) -> int:
        """Counts the records."""
        return len(self._ends) - 1

    def append(self, record: bytes) -> None:
        """Adds a record."""
        self._buffer += record
        self._ends.append(self._ends[-1] + len(record))
        if len(self._buffer) >= _BUFFERED_BYTES:
            self._flush()

    def read(self, number: int) -> bytes:
        """Gives the record of a number, from 0."""
        self._flush()
        start, end = self._ends[number], self._ends[number + 1]
        return os.pread(self._descriptor, end - start, start)

    def _flush(self) -> None:
        with memoryview(self._buffer) as rest:
            done = 0
            while done < len(rest):
                done += os.pwrite(self._descriptor, rest[done:], self._written + done)
        self._written += len(self._buffer)
        self._buffer.clear()


class SketchFile:
    """Sketches on disk, in the order in which they were added."""

    def __init__(self) -> None:
        """Starts empty."""
        self._records = RecordFile()

    def __len__(self) -> int:
        """Counts the sketches."""
        return len(self._records)

    def append(self, entry: Sketch) -> None:
        """Adds a sketch."""
        self._records.append(numpy.uint32(entry.whole).tobytes() + entry.hashes.tobytes())

    def __getitem__(self, number: int, /) -> Sketch:
        """Reads the sketch of a number, from 0."""
        values = numpy.frombuffer(self._records.read(number), numpy.uint32)
        return Sketch(values[1:], whole=bool(values[0]))


class ChainedSketches:
    """The sketches of several files, one after the other."""

    def __init__(self, files: Sequence[SketchFile]) -> None:
        """Chains them."""
        self._files = files
        self._starts = numpy.cumsum([0, *map(len, files)])

    def __len__(self) -> int:
        """Counts the sketches."""
        return int(self._starts[-1])

    def part_of(self, number: int) -> tuple[int, int]:
        """Tells which file a sketch is in, and its number there."""
        part = int(numpy.searchsorted(self._starts, number, side="right")) - 1
        return part, number - int(self._starts[part])

    def __getitem__(self, number: int, /) -> Sketch:
        """Reads the sketch of a number, from 0."""
        part, own = self.part_of(number)
        return self._files[part][own]


class ColumnFile:
    """A table of 32-bit numbers on disk, written row by row and read column by column."""

    def __init__(self, columns: int, most_rows: int) -> None:
        """Starts empty.

        Args:
            columns: How many there are.
            most_rows: How many rows may be written.
        """
        self._descriptor = _open_unnamed(self)
        self._columns = columns
        self._most_rows = most_rows
        self.rows = 0

    def append(self, rows: NDArray[numpy.uint32]) -> None:
        """Adds rows; shape (rows, columns)."""
        for column in range(self._columns):
            place = 4 * (column * self._most_rows + self.rows)
            os.pwrite(self._descriptor, rows[:, column].tobytes(), place)
        self.rows += len(rows)

    def read(self, column: int) -> NDArray[numpy.uint32]:
        """Gives a column; shape (rows,)."""
        data = os.pread(self._descriptor, 4 * self.rows, 4 * column * self._most_rows)
        return numpy.frombuffer(data, numpy.uint32)


def _open_unnamed(owner: object) -> int:
    """Opens a temporary file that is closed, and so deleted, with its owner; gives its number."""
    file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
    weakref.finalize(owner, file.close)
    return file.fileno()
