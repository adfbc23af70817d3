"""CSV and TSV: the first line names the fields, every further record is a row of texts."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec

from kfp_llm_tuning.components.common.wording import first_few, one_line
from kfp_llm_tuning.components.data.reading.field_names import quote
from kfp_llm_tuning.components.data.reading.findings import Finding
from kfp_llm_tuning.components.data.reading.limits import MAXIMUM_LINE_BYTES
from kfp_llm_tuning.components.data.reading.lines import (
    BinaryReader,
    BrokenEnd,
    LongLine,
    read_chunks,
)
from kfp_llm_tuning.components.data.sources.parts import (
    Part,
    Remark,
    refuse_long,
    refuse_rest,
)
from kfp_llm_tuning.components.data.sources.row_lines import batch_rows, encode_row

if TYPE_CHECKING:
    from _csv import Reader

_DELIMITERS = (",", ";", "\t", "|")
# Columns whose cells are JSON wherever they look like it.
_JSON_COLUMNS = frozenset(
    ("messages", "contents", "conversations", "systemInstruction", "system_instruction")
    + ("tools", "functions", "history")
)
# Columns that hold either a text or a conversation: JSON where a cell is a list of objects.
_MIXED_COLUMNS = frozenset(("prompt", "completion", "response", "chosen", "rejected"))
# A name that is longer is a text: the first line is a row then.
_LONGEST_NAME = 100
_any = msgspec.json.Decoder(msgspec.Raw)
_objects = msgspec.json.Decoder(list[dict[str, Any]])
_QUOTING = (
    'Put cells that hold delimiters, quotes or line breaks into double quotes, and write " as "".'
)


def read_table(stream: BinaryReader, file: str, delimiter: str = "") -> Iterator[Part]:
    """Reads a table, record by record in flat memory.

    Args:
        stream: The file, decompressed, without a byte order mark.
        file: Its name in findings.
        delimiter: Between two cells; empty for that which the first line has most of.

    Yields:
        Rows of the cells that are not empty, each with the line that it begins on, and what is said
        of those that are skipped.
    """
    # A limit of the whole process, by default below that of a line.
    csv.field_size_limit(MAXIMUM_LINE_BYTES)
    return batch_rows(_Table(stream, file, delimiter).rows(), file)


class _EndOfTable(Exception):
    """Nothing more is read; carries what is said of it."""

    def __init__(self, remark: Remark) -> None:
        super().__init__(remark)
        self.remark = remark


class _Table:
    """A table that is read from its beginning."""

    def __init__(self, stream: BinaryReader, file: str, delimiter: str) -> None:
        self._stream = stream
        self._file = file
        self._delimiter = delimiter
        # Of the record that is being read: the line that it begins on, its characters so far.
        self._first = 1
        self._size = 0

    def rows(self) -> Iterator[tuple[int, bytes | Remark]]:
        """Yields the number of every row's line, and the row or what is said of it."""
        try:
            yield from self._rows()
        except _EndOfTable as error:
            yield error.remark.finding.line, error.remark

    def _rows(self) -> Iterator[tuple[int, bytes | Remark]]:
        lines = self._lines()
        first = next(lines, "")
        delimiter = self._delimiter or _most_frequent_delimiter(first)
        records = self._records(csv.reader(chain([first], lines), delimiter=delimiter, strict=True))
        number, header = next(((n, found) for n, found in records if found), (1, []))
        if isinstance(header, Remark):
            yield number, header
            return
        names = [name.strip() or f"column {i}" for i, name in enumerate(header, start=1)]
        if finding := _check_header(names):
            yield number, self._remark(finding, number)
            return
        for number, record in records:
            if isinstance(record, Remark):
                yield number, record
            elif record:
                yield number, self._row(names, record, number)

    def _records(self, reader: Reader) -> Iterator[tuple[int, list[str] | Remark]]:
        while True:
            self._first, self._size = reader.line_num + 1, 0
            try:
                yield self._first, next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                finding = Finding("bad_quoting", _explain(error), fix=_QUOTING)
                yield self._first, self._remark(finding, self._first, rows=1)

    def _lines(self) -> Iterator[str]:
        """Yields lines; bytes that are no UTF-8 are kept, for the check of the row to tell."""
        number = 1
        for part in read_chunks(self._stream):
            if isinstance(part, BrokenEnd):
                rest = refuse_rest(self._file, number, part.reason, part.fix, part.size)
                raise _EndOfTable(rest)
            if isinstance(part, LongLine):
                raise _EndOfTable(refuse_long(part, self._file, number))
            for line in _lines_of(part.data):
                self._size += len(line)
                if self._size > MAXIMUM_LINE_BYTES:
                    raise _EndOfTable(refuse_long(LongLine(self._size), self._file, self._first))
                number += 1
                yield line

    def _row(self, names: Sequence[str], record: Sequence[str], number: int) -> bytes | Remark:
        if len(record) != len(names):
            what = f"the row has {len(record):,} cells, the first line {len(names):,}."
            finding = Finding("other_number_of_cells", what, "as many in every row", _QUOTING)
            return self._remark(finding, number, rows=1)
        row: dict[str, str | msgspec.Raw] = {}
        for name, cell in zip(names, record, strict=True):
            if not cell:
                continue
            try:
                row[name] = _value(name, cell)
            except (msgspec.DecodeError, RecursionError) as error:
                return self._remark(_refuse_json(name, cell, error), number, rows=1)
        return encode_row(row)

    def _remark(self, finding: Finding, number: int, rows: int = 0) -> Remark:
        return Remark(replace(finding, line=number, file=self._file), rows=rows)


def _lines_of(data: bytes) -> list[str]:
    """Cuts whole lines at their newlines alone, which stay: a cell may have other line breaks."""
    text = data.decode("utf-8", "surrogateescape")
    return [f"{line}\n" for line in text[:-1].split("\n")]


def _value(name: str, cell: str) -> str | msgspec.Raw:
    """Reads a cell: a text, or of some columns the JSON that it holds."""
    start = cell.lstrip()[:1]
    if name in _JSON_COLUMNS and start in ("[", "{"):
        return _compact(cell)
    if name in _MIXED_COLUMNS and start == "[":
        try:
            _objects.decode(cell)
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            return cell
        return _compact(cell)
    return cell


def _compact(cell: str) -> str | msgspec.Raw:
    """Gives JSON as it is, on one line."""
    try:
        _any.decode(cell)
    except UnicodeEncodeError:
        return cell
    return msgspec.Raw(msgspec.json.format(cell.encode(), indent=-1))


def _check_header(names: Sequence[str]) -> Finding | None:
    allowed = "a first line with the names of the columns, such as input_text,output_text"
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        what = f"the first line names columns twice: {first_few(repeated)}."
        return Finding("bad_header", what, allowed, "Give every column a name of its own.")
    if any(len(name) > _LONGEST_NAME for name in names):
        what = "the first line is no list of column names."
        return Finding("bad_header", what, allowed, "Write the names above the rows.")
    return None


def _most_frequent_delimiter(line: str) -> str:
    outside = re.sub(r'"[^"]*"', "", line)
    return max(_DELIMITERS, key=outside.count)


def _explain(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end of data" in text or "field limit" in text:
        return "a cell of this row begins with a quote and is not closed to the end of the file."
    if "new-line character" in text:
        return "a line ends with a carriage return alone, or has one in a cell without quotes."
    return f"the row is no CSV: {text}."


def _refuse_json(name: str, cell: str, error: Exception) -> Finding:
    what = f"the cell is not valid JSON: {one_line(error)}; it begins with {quote(cell)}."
    fix = "Write it with json.dumps (pandas writes lists as Python does, with single quotes)."
    return Finding("bad_json_cell", what, fix=fix, path=name)
