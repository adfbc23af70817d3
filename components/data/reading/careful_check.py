"""The careful check of one line: every problem with its field, and the examples that are good."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from kfp_llm_tuning.components.data.formats.checks import describe, has_errors, repeated
from kfp_llm_tuning.components.data.formats.conversations import as_conversation, as_text
from kfp_llm_tuning.components.data.formats.format import Format
from kfp_llm_tuning.components.data.formats.published import PUBLISHED_CHAT, PUBLISHED_TEXT
from kfp_llm_tuning.components.data.formats.registry import format_of
from kfp_llm_tuning.components.data.reading.findings import Finding
from kfp_llm_tuning.components.data.reading.json_syntax import Fields, parse
from kfp_llm_tuning.components.data.rows import ChatRow, Row, RowFormat

_CONVERSATIONS = ("messages", "contents", "conversations")


@dataclass
class LineReport:
    """What one line holds.

    Attributes:
        rows: The good examples, each with its path: "" or ``data[4]``.
        findings: Errors and warnings, in the order of the fields.
        ignored: Names of the examples' fields that are not read.
        examples: How many examples the line holds, bad ones included.
        messages: How many messages they hold, bad ones included.
    """

    rows: list[tuple[str, Row]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    examples: int = 1
    messages: int = 0


def check_line(line: bytes, expected: Format) -> LineReport:
    """Checks a line.

    Args:
        line: One line without its newline, not blank.
        expected: What its examples must be.

    Returns:
        Everything there is to say about it; findings carry paths but no line numbers.
    """
    report = LineReport()
    value = parse(line)
    if isinstance(value, Finding):
        report.findings.append(value)
    elif not isinstance(value, Fields):
        report.findings.append(_not_an_object(value, "", expected))
    elif "data" in value.names and not set(expected.fields) & set(value.names):
        _check_data(value, expected, report)
    else:
        _check_example(value, "", expected, report)
    return report


def _check_data(fields: Fields, expected: Format, report: LineReport) -> None:
    report.findings += repeated(fields, ("data",), "")
    entries = fields.get("data")
    allowed = "a list of examples"
    if not isinstance(entries, list):
        report.findings.append(
            Finding("wrong_type", f"data is {describe(entries)}.", allowed, path="data")
        )
    elif not entries:
        report.examples = 0
        report.findings.append(Finding("empty_data", "data is empty.", allowed, path="data"))
    else:
        report.examples = len(entries)
        for position, entry in enumerate(entries):
            path = f"data[{position}]"
            if isinstance(entry, Fields):
                _check_example(entry, path, expected, report)
            else:
                report.findings.append(_not_an_object(entry, path, expected))


def _check_example(fields: Fields, path: str, expected: Format, report: LineReport) -> None:
    other = _other_format(fields, path, expected)
    if other:
        report.findings.append(other)
        return
    findings: list[Finding] = []
    row = expected.read(fields, path, findings)
    if row is not None and not has_errors(findings):
        row = _as_kind(row, path, expected, findings)
    if expected.row_format == RowFormat.CHAT:
        report.messages += _count_messages(fields, row)
    report.findings += findings
    if row is not None and not has_errors(findings):
        report.rows.append((path, _within(row, path)))
        names = dict.fromkeys(fields.names)
        report.ignored += [name for name in names if name not in expected.fields]


def _as_kind(row: Row, path: str, expected: Format, findings: list[Finding]) -> Row | None:
    """Makes a text or a conversation of a row, as is wanted."""
    if expected.row_format == RowFormat.CHAT:
        return as_conversation(row)
    text = as_text(row)
    if text is None:
        what = "the row is a conversation where texts are expected."
        fix = "Name a chat model in large_model_reference."
        findings.append(Finding("other_format", what, "a question and its answer", fix, path=path))
    return text


def _within(row: Row, path: str) -> Row:
    """Takes the place of a row within its line off the places of its messages."""
    if not (path and isinstance(row, ChatRow)):
        return row
    return msgspec.structs.replace(row, places=tuple(place.within(path) for place in row.places))


def _count_messages(fields: Fields, row: Row | None) -> int:
    """Counts the messages of a conversation, good or bad, as far as can be told."""
    if isinstance(row, ChatRow):
        return len(row.messages)
    lists = [fields.find(name) for name in _CONVERSATIONS]
    return next((len(entries) for entries in lists if isinstance(entries, list)), 0)


def _other_format(fields: Fields, path: str, expected: Format) -> Finding | None:
    if expected.recognise(fields):
        return None
    found = format_of(fields)
    if found is None or found.read is expected.read:
        return None
    if (found, expected.name) == (PUBLISHED_CHAT, PUBLISHED_TEXT.name):
        what, fix = "a chat row stands where text rows are expected.", "Name a chat model"
        fix += " in large_model_reference, or write every row in one format."
    elif (found, expected.name) == (PUBLISHED_TEXT, PUBLISHED_CHAT.name):
        what, fix = "a text row stands where chat rows are expected.", "Name a text model"
        fix += " in large_model_reference, or write every row in one format."
    else:
        what = f"the row is {found.title} where {expected.claim} {expected.title}."
        fix = expected.remedy.format(name=found.name)
    return Finding("other_format", what, expected.example, fix, path=path)


def _not_an_object(value: Any, path: str, expected: Format) -> Finding:
    what = f"the row is {describe(value)}."
    fix = "Write every example on a line of its own." if isinstance(value, list) and value else ""
    return Finding("not_an_object", what, expected.example, fix, path=path)
