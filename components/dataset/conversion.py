"""Writes a dataset in another format: all its rows, or none where one of them cannot be."""

from __future__ import annotations

import csv
import io
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import msgspec

from kfp_llm_tuning.components.common.dataset_formats import FormatName
from kfp_llm_tuning.components.common.errors import Problem, UserError, raise_all
from kfp_llm_tuning.components.data.formats.format import Format, UnwritableRowError
from kfp_llm_tuning.components.data.formats.registry import format_of, formats_named, write_row
from kfp_llm_tuning.components.data.reading.findings import (
    Finding,
    Findings,
    Severity,
    list_problems,
    name_files,
    refused_row,
)
from kfp_llm_tuning.components.data.reading.json_syntax import Fields, parse
from kfp_llm_tuning.components.data.reading.places import Place
from kfp_llm_tuning.components.data.reading.scan import Scan, scan
from kfp_llm_tuning.components.data.rows import Row

# Every bad row is counted; so many are told in full.
MAX_PROBLEMS_LISTED = 20
TABLE_DELIMITERS = {".csv": ",", ".tsv": "\t"}
LINE_SUFFIXES = (".jsonl", ".ndjson", "")

Rows = Iterator[dict[str, Any]]


@dataclass(frozen=True)
class Conversion:
    """What came of it.

    Attributes:
        scan: What was read.
        rows: How many rows were written.
        warnings: What a reader of the data should know of it.
    """

    scan: Scan
    rows: int
    warnings: tuple[Problem, ...]


def check_suffix(suffix: str, where: str) -> None:
    """Checks that files of an ending can be written.

    Args:
        suffix: In lower case, with its dot; empty for none.
        where: Who named the file, for messages.

    Raises:
        UserError: If they cannot.
    """
    if suffix not in (*LINE_SUFFIXES, *TABLE_DELIMITERS):
        allowed = ".jsonl, .csv or .tsv"
        raise UserError(Problem(f"files that end in {suffix} are not written.", where, allowed))


def convert_dataset(
    uri: str, expected: Format, target: FormatName, output: IO[bytes], suffix: str = ".jsonl"
) -> Conversion:
    """Reads every row and writes it in another format, in flat memory.

    Args:
        uri: The dataset, as `data.sources.files.list_files` takes it.
        expected: What its rows are.
        target: What they are written in.
        output: Takes the rows when all of them are good; nothing before.
        suffix: ``.csv`` or ``.tsv`` for a table with a line of names, else JSONL is written.

    Returns:
        What was read and written.

    Raises:
        UserError: For every row that is bad, or that the target has no place for: all are counted,
            the first are told. Also if there is no row.
    """
    findings = Findings(MAX_PROBLEMS_LISTED)
    name = name_files(uri)[0]
    # Compact lines, before the first byte of the output is written.
    with tempfile.TemporaryFile() as lines:
        writer = _LineWriter(lines, target, findings, name, is_table=suffix in TABLE_DELIMITERS)
        scanned = scan(uri, expected, findings, writer.write)
        raise_all(list_problems(findings))
        if not writer.rows:
            raise UserError(Problem("there are no rows.", uri, fix="Write one at least."))
        lines.seek(0)
        if suffix in TABLE_DELIMITERS:
            _write_table(lines, list(writer.columns), TABLE_DELIMITERS[suffix], output)
        else:
            shutil.copyfileobj(lines, output)
    warnings = tuple(list_problems(findings, Severity.WARNING))
    return Conversion(scanned, writer.rows, warnings)


class _LineWriter:
    """Writes rows as lines of the target's format.

    Attributes:
        rows: How many were written.
        columns: How many rows have each field.
    """

    def __init__(
        self, stream: IO[bytes], target: FormatName, findings: Findings, name: str, is_table: bool
    ) -> None:
        self.rows = 0
        self.columns: Counter[str] = Counter()
        self._stream = stream
        self._target = target
        self._findings = findings
        self._name = name
        self._is_table = is_table
        self._encode = msgspec.json.Encoder().encode

    def write(self, place: Place, row: Row) -> None:
        """Writes one row, or takes note of why it cannot be."""
        try:
            fields = write_row(row, self._target)
        except UnwritableRowError as error:
            for finding in refused_row(error, place):
                self._findings.add(finding.of(self._name))
            return
        lost = self._lost_in_table(fields) if self._is_table else ""
        if lost:
            what = f"{lost} is empty, and an empty cell of a table stands for no field."
            finding = Finding("empty_cell", what, fix="Write JSONL.")
            self._findings.add(finding.at(place).of(self._name))
        self.columns.update(fields.keys())
        self._stream.write(self._encode(fields) + b"\n")
        self.rows += 1

    def _lost_in_table(self, fields: dict[str, Any]) -> str:
        """Names a text that is empty, where the row without that field is another one."""
        filled = {name: value for name, value in fields.items() if value != ""}
        if len(filled) == len(fields):
            return ""
        whole, rest = (parse(self._encode(row)) for row in (fields, filled))
        if isinstance(whole, Fields) and isinstance(rest, Fields):
            read = format_of(whole, formats_named(self._target))
            if read and read.read(whole, "", []) == read.read(rest, "", []):
                return ""
        return next(name for name in fields if name not in filled)


def _write_table(lines: IO[bytes], columns: list[str], delimiter: str, output: IO[bytes]) -> None:
    """Writes lines of JSON as records; what is no text stands in its cell as JSON."""
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    text = io.TextIOWrapper(output, encoding="utf-8", newline="", write_through=True)
    records = csv.writer(text, delimiter=delimiter)
    records.writerow(columns)
    for line in lines:
        fields = decode(line)
        records.writerow([_cell(fields.get(name, "")) for name in columns])
    text.detach()


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
