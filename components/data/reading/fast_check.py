"""The fast check that whole chunks of good rows pass.

A chunk of lines is decoded by msgspec at once. What msgspec lets pass although a careful reader
would not (several values on a line, repeated fields, bytes that are not UTF-8 within ignored
fields) is excluded by a few vectorised looks at the bytes. A chunk that gives any cause for doubt
is not refused here but handed to the careful check, line by line, which decides.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Annotated, Generic, Literal, TypeAlias, TypeVar, cast

import msgspec
import numpy
from msgspec import UNSET, Meta, Struct, UnsetType
from numpy.typing import NDArray

from kfp_llm_tuning.components.data.rows import (
    ChatRow,
    FilledText,
    Message,
    Row,
    RowFormat,
    TextRow,
)

Bytes: TypeAlias = NDArray[numpy.uint8]
Indices: TypeAlias = NDArray[numpy.intp]


class PublishedMessage(Struct, gc=False):
    """One message of a published chat row; further fields are ignored."""

    author: Literal["user", "assistant"]
    content: FilledText


class PublishedChatRow(Struct, gc=False):
    """A conversation in the published format; further fields are ignored."""

    messages: Annotated[list[PublishedMessage], Meta(min_length=2)]
    context: str | UnsetType = UNSET


RowType = TypeVar("RowType", TextRow, PublishedChatRow)
_Decoded: TypeAlias = TextRow | PublishedChatRow


class DataRow(Struct, Generic[RowType]):
    """A line that holds a list of examples."""

    data: Annotated[list[RowType], Meta(min_length=1)]


# What decoding raises for bad data of every kind.
DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_NEWLINE, _QUOTE, _BACKSLASH, _RETURN = b'\n"\\\r'
_OPEN, _CLOSE = b"{}"
_authors = operator.attrgetter("author")
_PAIR = ("user", "assistant")


class FastCheck:
    """Accepts rows of one format that are good beyond doubt."""

    def __init__(self, row_format: RowFormat) -> None:
        """Prepares the decoders.

        Args:
            row_format: What the rows must be.
        """
        self.row_format = row_format
        row_type: type[_Decoded] = TextRow if row_format == RowFormat.TEXT else PublishedChatRow
        self._row = msgspec.json.Decoder(row_type)
        self._data = msgspec.json.Decoder(DataRow[row_type])  # type: ignore[valid-type]

    def accept_chunk(self, chunk: bytes) -> Sequence[Row] | None:
        """Checks whole lines at once.

        Args:
            chunk: Lines that all end in a newline.

        Returns:
            One row a line, in order; None where anything needs a closer look.
        """
        try:
            rows = self._row.decode_lines(chunk)
        except DECODE_ERRORS:
            return None
        view = numpy.frombuffer(chunk, numpy.uint8)
        if not rows or not _one_row_a_line(view, len(rows)):
            return None
        return self._as_rows(rows) if self._is_plain(chunk, view, rows) else None

    def accept_line(self, line: bytes) -> list[tuple[str, Row]] | None:
        """Checks one line, which may also be the ``data``-list form.

        Args:
            line: One line, not blank.

        Returns:
            Its examples with their paths, "" or ``data[4]``; None where anything needs a closer
            look.
        """
        paths, rows = self._decode_line(line)
        if not rows or not self._is_plain(line, numpy.frombuffer(line, numpy.uint8), rows):
            return None
        return list(zip(paths, self._as_rows(rows), strict=True))

    def _decode_line(self, line: bytes) -> tuple[Sequence[str], Sequence[_Decoded]]:
        try:
            return [""], [self._row.decode(line)]
        except DECODE_ERRORS:
            pass
        try:
            rows = self._data.decode(line).data
        except DECODE_ERRORS:
            return [], []
        if line.count(b'"data"') != 1:
            return [], []
        return [f"data[{position}]" for position in range(len(rows))], rows

    def _as_rows(self, decoded: Sequence[_Decoded]) -> Sequence[Row]:
        if self.row_format == RowFormat.TEXT:
            return cast("Sequence[TextRow]", decoded)
        return [
            ChatRow([Message(said.author, said.content) for said in row.messages], row.context)
            for row in cast("Sequence[PublishedChatRow]", decoded)
        ]

    def _is_plain(self, chunk: bytes, view: Bytes, rows: Sequence[_Decoded]) -> bool:
        """Tells whether no field that is read is repeated and all of it is UTF-8."""
        escapes = b"\\" in chunk
        if escapes and _may_escape_letters(view):
            return False
        if self.row_format == RowFormat.TEXT:
            if not escapes and numpy.count_nonzero(view == _QUOTE) == 8 * len(rows):
                # Two names and two values are four strings: as few quotes as these leave no room
                # for a repeated field or an ignored one.
                return True
            once = _count_text_names(view) == 2 * len(rows)
        else:
            once = _has_chat_names_once(view, cast("Sequence[PublishedChatRow]", rows))
        return once and (chunk.isascii() or _is_utf8(chunk))


def _alternates(row: PublishedChatRow) -> bool:
    messages = row.messages
    pairs, odd = divmod(len(messages), 2)
    return not odd and tuple(map(_authors, messages)) == _PAIR * pairs


def _count_text_names(view: Bytes) -> int:
    """Counts where ``input_text`` or ``output_text`` may stand: never too few, rarely too many.

    Of ``put_text"``, which both end in, four characters are compared: enough for labels such as
    ``book_taxi`` to be told apart. Since every row is known to have both names, twice as many as
    rows leave no room for a repeated one.
    """
    starts = len(view) - len(b"put_text")
    found = view[:starts] == ord("p")
    for offset, character in ((3, "_"), (6, "x"), (8, '"')):
        found &= view[offset : offset + starts] == ord(character)
    return int(numpy.count_nonzero(found))


def _has_chat_names_once(view: Bytes, rows: Sequence[PublishedChatRow]) -> bool:
    """Tells whether the authors alternate and no name stands twice in one object."""
    if not all(map(_alternates, rows)):
        return False
    messages = sum(len(row.messages) for row in rows)
    names = {
        b"messages": len(rows),
        b"context": sum(row.context is not UNSET for row in rows),
        b"author": messages,
        b"content": messages,
    }
    quotes = numpy.flatnonzero(view == _QUOTE)
    gaps = numpy.diff(quotes)
    return all(_count_name(view, quotes, gaps, name) == count for name, count in names.items())


def _one_row_a_line(view: Bytes, rows: int) -> bool:
    """Tells whether every line begins a row and ends it.

    A newline between ``}`` and ``{`` with nothing else around stands between two rows: within one
    a comma would be there. As many newlines as rows then mean one row a line.
    """
    ends = numpy.flatnonzero(view == _NEWLINE)
    if len(ends) != rows or view[0] != _OPEN or (view[ends[:-1] + 1] != _OPEN).any():
        return False
    last = view[ends - 1]
    if (last == _CLOSE).all():
        return True
    return bool((numpy.where(last == _RETURN, view[ends - 2], last) == _CLOSE).all())


def _count_name(view: Bytes, quotes: Indices, gaps: Indices, name: bytes) -> int:
    """Counts where ``"name"`` may stand: never too few, and rarely too many.

    Only the length and three letters are compared. Since every row is known to have the name once
    at least, a count equal to that of the rows is still exact.
    """
    starts = quotes[:-1][gaps == len(name) + 1] + 1
    middle = len(name) - 2
    found = (view[starts] == name[0]) & (view[starts + 1] == name[1])
    return int(numpy.count_nonzero(found & (view[starts + middle] == name[middle])))


def _may_escape_letters(view: Bytes) -> bool:
    r"""Finds ``\u0000`` and escapes that could hide a name's letters: ``\u005f``, ``\u0069`` ..."""
    is_unicode = (view[:-1] == _BACKSLASH) & (view[1:] == ord("u"))
    if not is_unicode.any():
        return False
    unicode = numpy.flatnonzero(is_unicode)
    # Beyond the end of a chunk nothing is escaped: its last byte is a brace or a newline.
    first, second, third = (view.take(unicode + at, mode="clip") for at in (2, 3, 4))
    low = (first == ord("0")) & (second == ord("0"))
    letters = (third >= ord("5")) & (third <= ord("7"))
    return bool((low & ((third == ord("0")) | letters)).any())


def _is_utf8(chunk: bytes) -> bool:
    try:
        chunk.decode()
    except UnicodeDecodeError:
        return False
    return True
