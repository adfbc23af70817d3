"""Reads a file of any size as chunks of whole lines, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy

from kfp_llm_tuning.components.common.input_stream import BrokenInput
from kfp_llm_tuning.components.data.reading.limits import (
    MAXIMUM_LINE_BYTES,
    MAXIMUM_LINE_VALUES,
)

# Large enough that a chunk's fixed costs vanish, and below the 128 KiB from which the C library
# asks the system for every piece of memory anew: with 256 KiB a quarter of the time goes there.
CHUNK_BYTES = 112 * 1024
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class BinaryReader(Protocol):
    """What is read of a stream."""

    def read(self, size: int, /) -> bytes:
        """Gives the next bytes, ``size`` at most; none at the end."""


@dataclass(frozen=True)
class Chunk:
    """Whole lines of a file.

    Attributes:
        data: The lines; every one ends in a newline.
        newline_added: Whether the file's last line lacked its newline.
    """

    data: bytes
    newline_added: bool = False


@dataclass(frozen=True)
class LongLine:
    """A line that was skipped because it is longer than the limit, or holds too many values.

    Attributes:
        size: Its length in bytes, newline excluded.
        values: How many values it holds; 0 where its length alone is too much.
    """

    size: int
    values: int = 0


@dataclass(frozen=True)
class BrokenEnd:
    """The file cannot be read to its end.

    Attributes:
        reason: Why, for a person.
        fix: What to do.
        size: Bytes read before.
    """

    reason: str
    fix: str
    size: int


def read_chunks(
    stream: BinaryReader,
    chunk_bytes: int = CHUNK_BYTES,
    maximum_line: int = MAXIMUM_LINE_BYTES,
    maximum_values: int = MAXIMUM_LINE_VALUES,
) -> Iterator[Chunk | LongLine | BrokenEnd]:
    """Cuts a stream at its line ends.

    Args:
        stream: Any binary stream; a :class:`BrokenInput` comes out as :class:`BrokenEnd`.
        chunk_bytes: How much is read at a time.
        maximum_line: Longer lines are skipped, without ever being held in memory.
        maximum_values: Lines that reach over a block's end and hold more values are skipped,
            without being parsed.

    Yields:
        Chunks and skipped lines in the file's order; a broken end is the last.
    """
    pending = PendingLine(maximum_line, maximum_values)
    blocks = read_blocks(stream, chunk_bytes)
    for block in blocks:
        if isinstance(block, BrokenEnd):
            # The half line before the break is not judged: only the break is worth telling.
            yield block
            return
        end = block.rfind(b"\n") + 1
        if not end:
            pending.add(block)
            continue
        first_end = block.find(b"\n") + 1
        if long := pending.long_line(block[: first_end - 1]):
            yield long
            pending.clear()
            if first_end < end:
                yield Chunk(block[first_end:end])
        else:
            yield Chunk(pending.take(memoryview(block)[:end]))
        pending.add(block[end:])
    if long := pending.long_line(b""):
        yield long
    elif pending.size:
        yield Chunk(pending.take(b"\n"), newline_added=True)


def read_lines(stream: BinaryReader, where: str) -> Iterator[bytes | LongLine]:
    """Reads a stream line by line, in bounded memory.

    Args:
        stream: Any binary stream.
        where: Its name, for messages.

    Yields:
        Every line without its newline; of one that is skipped, why.

    Raises:
        BrokenInput: If the stream cannot be read to its end.
    """
    for part in read_chunks(stream):
        if isinstance(part, Chunk):
            yield from part.data[:-1].split(b"\n")
        elif isinstance(part, LongLine):
            yield part
        else:
            raise BrokenInput(part.reason, part.fix, where)


def count_values(line: bytes) -> int:
    """Counts the values of a line's JSON without parsing it.

    Args:
        line: One line.

    Returns:
        Separators and opening brackets outside of texts: never fewer than half of the values that a
        parser makes before it ends or finds a fault.
    """
    if b"\\" in line:
        # From the left, so that of a row of backslashes every second one is escaped.
        line = line.replace(b"\\\\", b"  ").replace(b'\\"', b"  ")
    view = numpy.frombuffer(line, numpy.uint8)
    outside = (numpy.cumsum(view == ord('"'), dtype=numpy.uint8) & 1) == 0
    counted = (view == ord(",")) | (view == ord("[")) | (view == ord("{"))
    return int(numpy.count_nonzero(counted & outside))


class PendingLine:
    """The beginning of a line whose end is not yet read; forgets what exceeds the limit."""

    def __init__(
        self, maximum: int = MAXIMUM_LINE_BYTES, maximum_values: int = MAXIMUM_LINE_VALUES
    ) -> None:
        """Starts empty.

        Args:
            maximum: Longer lines are forgotten.
            maximum_values: Lines that hold more values are not handed out.
        """
        self.maximum = maximum
        self.maximum_values = maximum_values
        self.clear()

    def clear(self) -> None:
        """Forgets the line."""
        self._parts: list[bytes] = []
        self.size = 0

    def add(self, part: bytes) -> None:
        """Takes the line's next bytes."""
        self.size += len(part)
        if self.too_long:
            self._parts.clear()
        elif part:
            self._parts.append(part)

    def take(self, rest: bytes | memoryview) -> bytes:
        """Gives the line with its last bytes, and forgets it."""
        whole = b"".join([*self._parts, rest])
        self.clear()
        return whole

    @property
    def too_long(self) -> bool:
        """Whether it is longer than the limit already."""
        return self.size > self.maximum

    def long_line(self, rest: bytes) -> LongLine | None:
        """Judges the line that ends with these bytes."""
        size = self.size + len(rest)
        if size > self.maximum:
            return LongLine(size)
        # Every value takes a byte at least.
        if size <= self.maximum_values:
            return None
        values = count_values(b"".join([*self._parts, rest]))
        return LongLine(size, values) if values > self.maximum_values else None


def read_blocks(stream: BinaryReader, size: int = CHUNK_BYTES) -> Iterator[bytes | BrokenEnd]:
    """Reads a stream block by block.

    Args:
        stream: Any binary stream.
        size: How much is read at a time, at most.

    Yields:
        Blocks that are not empty; a broken end is the last.
    """
    total = 0
    while True:
        try:
            block = stream.read(size)
        except BrokenInput as error:
            yield BrokenEnd(error.reason, error.fix, total)
            return
        if not block:
            return
        total += len(block)
        yield block
