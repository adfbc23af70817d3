"""A JSON array of objects, on one line or over many, read element by element in flat memory.

A block is not parsed but cut: numpy finds the commas and brackets that stand outside of texts, and
how deep each is. What stands between two commas of the array itself is a row, which is parsed and
judged as a line of JSONL is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from kfp_llm_tuning.components.data.reading.findings import Finding
from kfp_llm_tuning.components.data.reading.lines import (
    BinaryReader,
    BrokenEnd,
    PendingLine,
    read_blocks,
)
from kfp_llm_tuning.components.data.sources.parts import (
    Part,
    Remark,
    Rows,
    refuse_long,
    refuse_rest,
)

_NEWLINE, _QUOTE, _COMMA = b'\n",'
_ALLOWED = "[{...}, {...}]: objects with a comma between two"


def read_json_array(stream: BinaryReader, file: str) -> Iterator[Part]:
    """Reads the elements of an array as lines.

    Args:
        stream: The file, decompressed, without a byte order mark; its first character that is not
            white space is the opening bracket.
        file: Its name in findings.

    Yields:
        Elements, each with the line that it begins on, and what is said of those that are skipped.
        Where the array itself is damaged, that is the last.
    """
    array = _Array(file)
    held = b""
    for block in read_blocks(stream):
        if isinstance(block, BrokenEnd):
            yield refuse_rest(file, array.line, block.reason, block.fix, block.size)
            return
        data, held = _hold_back(held + block)
        yield from array.read(data)
        if array.stopped:
            return
    yield from array.finish()


def _hold_back(data: bytes) -> tuple[bytes, bytes]:
    """Keeps a backslash at a block's end with what it escapes."""
    backslashes = len(data) - len(data.rstrip(b"\\"))
    end = len(data) - backslashes % 2
    return data[:end], data[end:]


@dataclass(frozen=True)
class _Cuts:
    """What is found in a block of bytes.

    Attributes:
        ends: Where elements end: at commas of the array itself, and at its closing bracket.
        newlines: Where lines end.
        open_text: Where the first text is cut by the end of its line; -1 for nowhere.
        depth: How deep the block's end is.
        in_text: Whether the block ends within a text.
        closed: Whether the last of ``ends`` is the closing bracket.
    """

    ends: NDArray[numpy.intp]
    newlines: NDArray[numpy.intp]
    open_text: int
    depth: int
    in_text: bool
    closed: bool


def _cut(data: bytes, depth: int, in_text: bool) -> _Cuts:
    if b"\\" in data:
        # From the left, so that of a row of backslashes every second one is escaped.
        data = data.replace(b"\\\\", b"  ").replace(b'\\"', b"  ")
    view = numpy.frombuffer(data, numpy.uint8)
    inside = ((numpy.cumsum(view == _QUOTE, dtype=numpy.uint8) + in_text) & 1).astype(bool)
    opening = ((view == ord("[")) | (view == ord("{"))) & ~inside
    closing = ((view == ord("]")) | (view == ord("}"))) & ~inside
    depths = depth + numpy.cumsum(opening.astype(numpy.int32) - closing, dtype=numpy.int32)
    newlines = numpy.flatnonzero(view == _NEWLINE)
    within = newlines[inside[newlines]]
    brackets = numpy.flatnonzero(closing & (depths == 0))
    ends = numpy.flatnonzero((view == _COMMA) & ~inside & (depths == 1))
    if closed := bool(len(brackets)):
        ends = numpy.append(ends[ends < brackets[0]], brackets[0])
    open_text = int(within[0]) if len(within) else -1
    if closed and open_text > ends[-1]:
        open_text = -1
    return _Cuts(ends, newlines, open_text, int(depths[-1]), bool(inside[-1]), closed)


class _Array:
    """An array that is read block by block.

    Attributes:
        line: The line that the next block begins on.
        stopped: Whether the array is damaged, so that nothing more can be read of it.
    """

    def __init__(self, file: str) -> None:
        self.line = 1
        self.stopped = False
        self._file = file
        self._element = PendingLine()
        # The line of the element that is pending; 0 where there is none.
        self._element_line = 0
        self._depth = 0
        self._in_text = False
        self._opened = False
        self._closed = False
        self._elements = 0
        self._rows: list[bytes] = []
        self._numbers: list[int] = []
        self._size = 0

    def read(self, data: bytes) -> Iterator[Part]:
        """Reads the next bytes."""
        if not data:
            return
        if self._closed:
            yield from self._check_after(data, self.line)
            self.line += data.count(b"\n")
            self._size += len(data)
            return
        cuts = _cut(data, self._depth, self._in_text)
        plain = data.replace(b"\n", b" ")
        self._size += len(data)
        yield from self._read_elements(plain, cuts)
        yield from self._flush()
        if cuts.closed and not self.stopped:
            after = int(cuts.ends[-1]) + 1
            yield from self._check_after(data[after:], self._line_at(cuts, after))
        self.line += len(cuts.newlines)
        self._depth, self._in_text = cuts.depth, cuts.in_text

    def finish(self) -> Iterator[Part]:
        """Reads the end."""
        yield Rows(b"", self._file, size=self._size)
        if self._closed:
            return
        if self._element_line:
            reason, line = "the element that begins here does not end", self._element_line
        else:
            reason, line = "the array does not end: its closing bracket is missing", self.line
        yield refuse_rest(self._file, line, reason, "The file was cut off: write it again.")

    def _read_elements(self, plain: bytes, cuts: _Cuts) -> Iterator[Part]:
        start = 0
        if not self._opened:
            start = plain.index(b"[") + 1
            self._opened = True
        for end in cuts.ends.tolist():
            if 0 <= cuts.open_text < end:
                break
            is_last = cuts.closed and end == cuts.ends[-1]
            yield from self._end_element(plain[start:end], start, is_last, cuts)
            start = end + 1
            self._closed = is_last
        if self._closed:
            return
        if cuts.open_text >= 0:
            yield from self._refuse_open_text(self._line_at(cuts, cuts.open_text))
            return
        rest = plain[start:]
        self._note_line(rest, start, cuts)
        if self._element_line:
            self._element.add(rest if self._element.size else rest.lstrip())

    def _end_element(self, last: bytes, start: int, is_last: bool, cuts: _Cuts) -> Iterator[Part]:
        self._note_line(last, start, cuts)
        if not self._element_line:
            if not is_last or self._elements:
                yield from self._refuse_gap(is_last, self._line_at(cuts, start + len(last)))
            return
        self._elements += 1
        long = self._element.long_line(last)
        if long:
            self._element.clear()
            yield from self._flush()
            yield refuse_long(long, self._file, self._element_line)
        else:
            self._rows.append(self._element.take(last).strip())
            self._numbers.append(self._element_line)
        self._element_line = 0

    def _note_line(self, data: bytes, start: int, cuts: _Cuts) -> None:
        """Remembers where an element begins: at the first of it that is not white space."""
        blank = len(data) - len(data.lstrip())
        if not self._element_line and blank < len(data):
            self._element_line = self._line_at(cuts, start + blank)

    def _line_at(self, cuts: _Cuts, position: int) -> int:
        return self.line + int(numpy.searchsorted(cuts.newlines, position))

    def _flush(self) -> Iterator[Part]:
        if self._rows:
            lines = b"\n".join([*self._rows, b""])
            yield Rows(lines, self._file, numbers=tuple(self._numbers), size=self._size)
            self._rows, self._numbers, self._size = [], [], 0

    def _refuse_gap(self, is_last: bool, line: int) -> Iterator[Part]:
        what = "a comma stands before the closing bracket." if is_last else "an element is missing."
        yield from self._refuse("missing_element", what, line, "Delete the comma.")

    def _refuse_open_text(self, line: int) -> Iterator[Part]:
        self.stopped = True
        what = "a text is not closed on its line; what follows is not read."
        fix = r"Close the quotes, and write line breaks of a text as \n."
        yield from self._refuse("open_text", what, line, fix)

    def _check_after(self, data: bytes, line: int) -> Iterator[Part]:
        blank = data[: len(data) - len(data.lstrip())]
        if len(blank) == len(data):
            return
        self.stopped = True
        what = "more follows the array's closing bracket."
        fix = "Write one array, or one JSON object a line."
        yield from self._refuse("after_array", what, line + blank.count(b"\n"), fix)

    def _refuse(self, kind: str, what: str, line: int, fix: str) -> Iterator[Part]:
        yield from self._flush()
        yield Remark(Finding(kind, what, _ALLOWED, fix, line=line, file=self._file))
