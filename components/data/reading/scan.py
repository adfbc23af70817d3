"""Reads a whole dataset, row by row, with the fast check where it can and the careful where not."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import TypeAlias

import msgspec

from kfp_llm_tuning.components.common.dataset_formats import FormatName
from kfp_llm_tuning.components.common.train_on import TrainOn
from kfp_llm_tuning.components.data.formats.format import Format
from kfp_llm_tuning.components.data.reading.careful_check import LineReport, check_line
from kfp_llm_tuning.components.data.reading.fast_check import FastCheck
from kfp_llm_tuning.components.data.reading.findings import Findings, name_files
from kfp_llm_tuning.components.data.reading.json_syntax import JSON_WHITESPACE
from kfp_llm_tuning.components.data.reading.limits import (
    MAXIMUM_FIELD_NAME_CHARACTERS,
    MAXIMUM_FIELD_NAMES,
)
from kfp_llm_tuning.components.data.reading.places import Place
from kfp_llm_tuning.components.data.reading.row_sizes import may_be_too_large, too_large
from kfp_llm_tuning.components.data.rows import (
    Row,
    RowFormat,
    count_answers,
    count_messages,
    learn_last_answer,
)
from kfp_llm_tuning.components.data.sources.parts import Part, Rows
from kfp_llm_tuning.components.data.sources.reader import read_source

# Under this name fields are counted together that are not told apart.
OTHER_FIELDS = "(other fields)"
Visitor: TypeAlias = Callable[[Place, Row], None]


@dataclass
class Scan:
    """What was read of a dataset.

    Attributes:
        uri: What names it.
        name: What it is called in findings.
        format: What its rows were read as.
        is_read: Whether every file was read; False where one is an archive or the like.
        bytes: Size of its files, decompressed, as far as they were read.
        lines: Lines or rows, blank lines included.
        blank_lines: Lines of nothing but white space.
        examples: Examples, bad ones included.
        good_examples: Examples without an error.
        messages: Messages of all conversations, bad ones included; 0 for text.
        good_messages: Messages of the good conversations.
        answers: What is learned of the good examples: outputs of texts, answers of conversations.
        visited: Good examples that were handed to the visitor.
        ignored_fields: How often each field that is not read stands in the visited examples.
    """

    uri: str
    name: str
    format: Format
    is_read: bool = True
    bytes: int = 0
    lines: int = 0
    blank_lines: int = 0
    examples: int = 0
    good_examples: int = 0
    messages: int = 0
    good_messages: int = 0
    answers: int = 0
    visited: int = 0
    ignored_fields: Counter[str] = field(default_factory=Counter)

    def part(self, rows: int, messages: int, answers: int, *, with_bad: bool) -> Scan:
        """Gives the counts of a part of the dataset.

        Args:
            rows: Good examples in the part.
            messages: Their messages.
            answers: What is learned of them.
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
            answers=answers,
            visited=rows,
        )


def scan(
    uri: str,
    expected: Format,
    findings: Findings,
    visit: Visitor,
    window: int | None = None,
    name: str = "",
    train_on: TrainOn = TrainOn.ALL,
) -> Scan:
    """Checks every row of a dataset.

    Args:
        uri: A file, a folder, a pattern ...: what ``sources.files.list_files`` takes.
        expected: What the rows must be.
        findings: Takes what is found.
        visit: Called with each of the first ``window`` good examples.
        window: How many good examples are visited; None for all.
        name: What the dataset is called in findings; empty for the last part of its URI.
        train_on: Which answers are learned of the conversations that are visited and counted.

    Returns:
        The counts.

    Raises:
        UserError: If a file cannot be found or opened.
    """
    scanned = Scan(uri, name or name_files(uri)[0], expected)
    most = sys.maxsize if window is None else window
    scanner = _Scanner(scanned, findings, visit, most, train_on)
    for part in read_source(uri, scanned.name, jsonl_only=expected.jsonl_only):
        scanner.check(part)
    return scanned


class _Scanner:
    """One pass over one dataset."""

    def __init__(
        self,
        scanned: Scan,
        findings: Findings,
        visit: Visitor,
        window: int,
        train_on: TrainOn,
    ) -> None:
        self._learns_last = train_on == TrainOn.LAST
        self._format = scanned.format
        self._findings = findings
        self._visit = visit
        self._window = window
        is_published = scanned.format.name == FormatName.PUBLISHED
        self._fast = FastCheck(scanned.format.row_format) if is_published else None
        self._names = _FieldNames(scanned.format)
        self._scan = scanned

    def check(self, part: Part) -> None:
        """Checks the next part."""
        self._scan.bytes += part.size
        if isinstance(part, Rows):
            self._check_rows(part)
            return
        self._scan.is_read &= not part.unread
        self._scan.lines += part.rows
        self._scan.examples += part.rows
        self._findings.add(part.finding)

    def _check_rows(self, part: Rows) -> None:
        data = part.lines
        if not data.strip(JSON_WHITESPACE):
            blank = data.count(b"\n")
            self._scan.lines += blank
            self._scan.blank_lines += blank
            return
        rows = self._fast.accept_chunk(data) if self._fast else None
        if rows is None or may_be_too_large(len(data), rows):
            before = self._scan.lines
            for offset, line in enumerate(data[:-1].split(b"\n")):
                self._check_line(line, self._place(part, before, offset))
            return
        if self._scan.visited < self._window:
            room = self._window - self._scan.visited
            self._note_ignored(self._names.of_lines(data, room))
            before = self._scan.lines
            places = (self._place(part, before, offset) for offset in range(len(rows)))
            self._visit_rows(zip(places, rows, strict=True))
        self._scan.messages += self._count(rows)
        self._scan.lines += len(rows)
        self._scan.examples += len(rows)

    def _place(self, part: Rows, before: int, offset: int) -> Place:
        file = "" if part.file == self._scan.name else part.file
        number = part.number(offset)
        return Place(number, "", file, part.unit, before + offset + 1 if file else number)

    def _check_line(self, line: bytes, place: Place) -> None:
        self._scan.lines += 1
        if not line.strip(JSON_WHITESPACE):
            self._scan.blank_lines += 1
            return
        accepted = self._fast.accept_line(line) if self._fast else None
        if accepted is None:
            report = check_line(line, self._format)
        else:
            messages = count_messages([row for _, row in accepted])
            report = LineReport(accepted, examples=len(accepted), messages=messages)
            report.ignored += self._names.of_line(line)
        _refuse_large(report)
        for finding in report.findings:
            self._findings.add(finding.at(place, finding.path).of(self._scan.name))
        if self._scan.visited < self._window:
            self._note_ignored(report.ignored)
            self._visit_rows((replace(place, path=path), row) for path, row in report.rows)
        self._count([row for _, row in report.rows])
        self._scan.examples += report.examples
        self._scan.messages += report.messages

    def _count(self, rows: Sequence[Row]) -> int:
        """Counts good rows; gives the number of their messages."""
        self._scan.good_examples += len(rows)
        if self._format.row_format == RowFormat.TEXT:
            self._scan.answers += len(rows)
            return 0
        messages = count_messages(rows)
        self._scan.good_messages += messages
        self._scan.answers += self._count_answers(rows, messages)
        return messages

    def _count_answers(self, rows: Sequence[Row], messages: int) -> int:
        if self._learns_last:
            return count_answers([learn_last_answer(row) for row in rows])
        # In published rows every second message is the assistant's.
        return messages // 2 if self._fast else count_answers(rows)

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
            self._visit(place, learn_last_answer(row) if self._learns_last else row)
            self._scan.visited += 1


class _FieldNames:
    """Lists the fields of good rows that are not read."""

    def __init__(self, expected: Format) -> None:
        self._read = set(expected.fields)
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
