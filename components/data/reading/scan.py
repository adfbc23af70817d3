"""Reads a whole dataset, row by row, with the fast check where it can and the careful where not."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import TypeAlias

import msgspec

from kfp_llm_tuning.components.common.storage import open_input
from kfp_llm_tuning.components.data.reading.careful_check import LineReport, check_line
from kfp_llm_tuning.components.data.reading.fast_check import FastCheck
from kfp_llm_tuning.components.data.reading.file_formats import (
    HEAD_BYTES,
    recognise_other_format,
)
from kfp_llm_tuning.components.data.reading.findings import (
    Finding,
    Findings,
    Severity,
    name_files,
)
from kfp_llm_tuning.components.data.reading.json_syntax import JSON_WHITESPACE
from kfp_llm_tuning.components.data.reading.limits import (
    MAXIMUM_FIELD_NAME_CHARACTERS,
    MAXIMUM_FIELD_NAMES,
    MAXIMUM_LINE_BYTES,
    MAXIMUM_LINE_VALUES,
)
from kfp_llm_tuning.components.data.reading.lines import (
    BYTE_ORDER_MARK,
    BrokenEnd,
    Chunk,
    LongLine,
    read_chunks,
)
from kfp_llm_tuning.components.data.reading.row_sizes import may_be_too_large, too_large
from kfp_llm_tuning.components.data.rows import READ_FIELDS, Row, RowFormat, count_messages


@dataclass(frozen=True)
class Place:
    """Where an example stands.

    Attributes:
        line: Its line, from 1.
        path: "" or ``data[4]``.
    """

    line: int
    path: str = ""


# Under this name fields are counted together that are not told apart.
OTHER_FIELDS = "(other fields)"
Visitor: TypeAlias = Callable[[Place, Row], None]


@dataclass
class Scan:
    """What was read of a dataset.

    Attributes:
        uri: The file.
        name: What it is called in findings.
        is_jsonl: Whether it was read; False where it is a table, an archive or the like.
        bytes: Its size, decompressed, as far as it was read.
        lines: Lines, blank ones included.
        blank_lines: Lines of nothing but white space.
        examples: Examples, bad ones included.
        good_examples: Examples without an error.
        messages: Messages of all conversations, bad ones included; 0 for text.
        good_messages: Messages of the good conversations.
        visited: Good examples that were handed to the visitor.
        ignored_fields: How often each field that is not read stands in the visited examples.
    """

    uri: str
    name: str
    is_jsonl: bool = True
    bytes: int = 0
    lines: int = 0
    blank_lines: int = 0
    examples: int = 0
    good_examples: int = 0
    messages: int = 0
    good_messages: int = 0
    visited: int = 0
    ignored_fields: Counter[str] = field(default_factory=Counter)

    def part(self, rows: int, messages: int, *, with_bad: bool) -> Scan:
        """Gives the counts of a part of the dataset.

        Args:
            rows: Good examples in the part.
            messages: Their messages.
            with_bad: Whether the bad examples belong to it too.
        """
        bad = (self.examples - self.good_examples) * with_bad
        bad_messages = (self.messages - self.good_messages) * with_bad
        return replace(
            self,
            examples=rows + bad,
            good_examples=rows,
            messages=messages + bad_messages,
            good_messages=messages,
            visited=rows,
        )


def scan(
    uri: str,
    row_format: RowFormat,
    findings: Findings,
    visit: Visitor,
    window: int | None = None,
    name: str = "",
) -> Scan:
    """Checks every row of a file.

    Args:
        uri: Local path or any URI that fsspec opens, plain or .gz.
        row_format: What the rows must be.
        findings: Takes what is found.
        visit: Called with each of the first ``window`` good examples.
        window: How many good examples are visited; None for all.
        name: What the file is called in findings; empty for the last part of its URI.

    Returns:
        The counts.

    Raises:
        UserError: If the file cannot be opened.
    """
    scanned = Scan(uri, name or name_files(uri)[0])
    _Scanner(scanned, row_format, findings, visit, sys.maxsize if window is None else window).run()
    return scanned


class _Scanner:
    """One pass over one file."""

    def __init__(
        self,
        scanned: Scan,
        row_format: RowFormat,
        findings: Findings,
        visit: Visitor,
        window: int,
    ) -> None:
        self._format = row_format
        self._findings = findings
        self._visit = visit
        self._window = window
        self._fast = FastCheck(row_format)
        self._names = _FieldNames(row_format)
        self._scan = scanned

    def run(self) -> None:
        with open_input(self._scan.uri) as stream:
            parts = read_chunks(stream)
            first = next(parts, None)
            if isinstance(first, Chunk):
                first = self._check_beginning(first)
            if first:
                for part in chain([first], parts):
                    self._check_part(part)

    def _check_beginning(self, chunk: Chunk) -> Chunk | None:
        """Strips the byte order mark; gives None where the file is not JSONL at all."""
        other = recognise_other_format(chunk.data[:HEAD_BYTES])
        if other:
            self._scan.is_jsonl = False
            self._add(other)
            return None
        if not chunk.data.startswith(BYTE_ORDER_MARK):
            return chunk
        what = "the file begins with a byte order mark, which is skipped."
        self._add(Finding("byte_order_mark", what, severity=Severity.NOTE))
        self._scan.bytes += len(BYTE_ORDER_MARK)
        return replace(chunk, data=chunk.data.removeprefix(BYTE_ORDER_MARK))

    def _check_part(self, part: Chunk | LongLine | BrokenEnd) -> None:
        if isinstance(part, Chunk):
            self._scan.bytes += len(part.data) - part.newline_added
            self._check_chunk(part.data)
        elif isinstance(part, LongLine):
            self._scan.bytes += part.size + 1
            self._scan.lines += 1
            self._scan.examples += 1
            self._add(_long_line(part), self._scan.lines)
        else:
            self._add(_broken_end(part), self._scan.lines + 1)

    def _check_chunk(self, data: bytes) -> None:
        if not data.strip(JSON_WHITESPACE):
            blank = data.count(b"\n")
            self._scan.lines += blank
            self._scan.blank_lines += blank
            return
        rows = self._fast.accept_chunk(data)
        if rows is None or may_be_too_large(len(data), rows):
            for line in data[:-1].split(b"\n"):
                self._check_line(line)
            return
        if self._scan.visited < self._window:
            room = self._window - self._scan.visited
            self._note_ignored(self._names.of_lines(data, room))
            first = self._scan.lines + 1
            self._visit_rows((Place(first + offset), row) for offset, row in enumerate(rows))
        self._scan.messages += self._count(rows)
        self._scan.lines += len(rows)
        self._scan.examples += len(rows)

    def _check_line(self, line: bytes) -> None:
        self._scan.lines += 1
        number = self._scan.lines
        if not line.strip(JSON_WHITESPACE):
            self._scan.blank_lines += 1
            return
        accepted = self._fast.accept_line(line)
        if accepted is None:
            report = check_line(line, self._format)
        else:
            messages = count_messages([row for _, row in accepted])
            report = LineReport(accepted, examples=len(accepted), messages=messages)
            report.ignored += self._names.of_line(line)
        _refuse_large(report)
        for finding in report.findings:
            self._add(finding, number)
        if self._scan.visited < self._window:
            self._note_ignored(report.ignored)
            self._visit_rows((Place(number, path), row) for path, row in report.rows)
        self._count([row for _, row in report.rows])
        self._scan.examples += report.examples
        self._scan.messages += report.messages

    def _count(self, rows: Sequence[Row]) -> int:
        """Counts good rows; gives the number of their messages."""
        messages = count_messages(rows) if self._format == RowFormat.CHAT else 0
        self._scan.good_examples += len(rows)
        self._scan.good_messages += messages
        return messages

    def _note_ignored(self, names: Iterable[str]) -> None:
        """Counts fields that are not read; of very many the rare ones together."""
        counts = self._scan.ignored_fields
        counts.update(name[:MAXIMUM_FIELD_NAME_CHARACTERS] for name in names)
        if len(counts) > 2 * MAXIMUM_FIELD_NAMES:
            others = counts.pop(OTHER_FIELDS, 0)
            kept = Counter(dict(counts.most_common(MAXIMUM_FIELD_NAMES)))
            others += counts.total() - kept.total()
            counts.clear()
            counts.update({**kept, OTHER_FIELDS: others})

    def _visit_rows(self, rows: Iterable[tuple[Place, Row]]) -> None:
        for place, row in islice(rows, self._window - self._scan.visited):
            self._visit(place, row)
            self._scan.visited += 1

    def _add(self, finding: Finding, line: int = 0) -> None:
        self._findings.add(replace(finding, file=self._scan.name, line=line))


class _FieldNames:
    """Lists the fields of good rows that are not read."""

    def __init__(self, row_format: RowFormat) -> None:
        self._read = set(READ_FIELDS[row_format])
        self._plain = msgspec.json.Decoder(dict[str, msgspec.Raw])
        self._list = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])

    def of_lines(self, data: bytes, most: int) -> Iterator[str]:
        return self._unread(self._plain.decode_lines(data)[:most])

    def of_line(self, line: bytes) -> Iterator[str]:
        fields = self._plain.decode(line)
        if self._read.isdisjoint(fields):
            return self._unread(self._list.decode(fields["data"]))
        return self._unread([fields])

    def _unread(self, objects: Iterable[dict[str, msgspec.Raw]]) -> Iterator[str]:
        return (name for name in chain.from_iterable(objects) if name not in self._read)


def _refuse_large(report: LineReport) -> None:
    """Takes the rows out of a line's report that are too large."""
    found = [(path, row, too_large(row, path)) for path, row in report.rows]
    report.rows = [(path, row) for path, row, finding in found if not finding]
    report.findings += [finding for _, _, finding in found if finding]


def _long_line(part: LongLine) -> Finding:
    if part.values:
        return Finding(
            "line_too_long",
            f"the line holds {part.values:,} values and is not read.",
            f"at most {MAXIMUM_LINE_VALUES:,} values a line",
            "Write a long data list as several lines.",
        )
    return Finding(
        "line_too_long",
        f"the line has {part.size:,} bytes and is not read.",
        f"at most {MAXIMUM_LINE_BYTES:,} bytes a line",
        "Write a long data list as several lines.",
    )


def _broken_end(part: BrokenEnd) -> Finding:
    what = f"{part.reason}. {part.size:,} bytes were read before."
    return Finding("broken_compression", what, fix=part.fix)
