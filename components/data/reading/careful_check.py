"""The careful check of one line: every problem with its field, and the examples that are good."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from msgspec import UNSET, UnsetType

from kfp_llm_tuning.components.data.reading.field_names import (
    author_for,
    list_names,
    misspelling_of,
    possible_names,
    quote,
)
from kfp_llm_tuning.components.data.reading.findings import Finding, Severity
from kfp_llm_tuning.components.data.reading.json_syntax import Fields, Number, parse
from kfp_llm_tuning.components.data.rows import (
    READ_FIELDS,
    ChatRow,
    Message,
    Row,
    RowFormat,
    TextRow,
)

_AUTHORS = ("user", "assistant")
_REQUIRED = {RowFormat.TEXT: ("input_text", "output_text"), RowFormat.CHAT: ("messages",)}
_EXAMPLE = {
    RowFormat.TEXT: '{"input_text": "...", "output_text": "..."}',
    RowFormat.CHAT: '{"messages": [{"author": "user", "content": "..."}, '
    '{"author": "assistant", "content": "..."}]}',
}


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


def check_line(line: bytes, row_format: RowFormat) -> LineReport:
    """Checks a line.

    Args:
        line: One line without its newline, not blank.
        row_format: What its examples must be.

    Returns:
        Everything there is to say about it; findings carry paths but no line numbers.
    """
    report = LineReport()
    value = parse(line)
    if isinstance(value, Finding):
        report.findings.append(value)
    elif not isinstance(value, Fields):
        report.findings.append(_not_an_object(value, "", row_format))
    elif "data" in value.names and not set(READ_FIELDS[row_format]) & set(value.names):
        _check_data(value, row_format, report)
    else:
        _check_example(value, "", row_format, report)
    return report


def _check_data(fields: Fields, row_format: RowFormat, report: LineReport) -> None:
    report.findings += _repeated(fields, ("data",), "")
    entries = fields.get("data")
    allowed = "a list of examples"
    if not isinstance(entries, list):
        report.findings.append(
            Finding("wrong_type", f"data is {_describe(entries)}.", allowed, path="data")
        )
    elif not entries:
        report.examples = 0
        report.findings.append(Finding("empty_data", "data is empty.", allowed, path="data"))
    else:
        report.examples = len(entries)
        for position, entry in enumerate(entries):
            path = f"data[{position}]"
            if isinstance(entry, Fields):
                _check_example(entry, path, row_format, report)
            else:
                report.findings.append(_not_an_object(entry, path, row_format))


def _check_example(fields: Fields, path: str, row_format: RowFormat, report: LineReport) -> None:
    other = _other_format(fields, path, row_format)
    if other:
        report.findings.append(other)
        return
    if row_format == RowFormat.CHAT:
        report.messages += _count_messages(fields)
    check = _check_text if row_format == RowFormat.TEXT else _check_chat
    findings = [*_repeated(fields, READ_FIELDS[row_format], path)]
    row = check(fields, path, findings)
    report.findings += findings
    if row is not None and all(found.severity != Severity.ERROR for found in findings):
        report.rows.append((path, row))
        names = dict.fromkeys(fields.names)
        report.ignored += [name for name in names if name not in READ_FIELDS[row_format]]


def _check_text(fields: Fields, path: str, findings: list[Finding]) -> TextRow | None:
    texts = [
        _check_string(fields, name, path, _REQUIRED[RowFormat.TEXT], findings)
        for name in _REQUIRED[RowFormat.TEXT]
    ]
    return None if None in texts else TextRow(*texts)  # type: ignore[arg-type]


def _check_chat(fields: Fields, path: str, findings: list[Finding]) -> ChatRow | None:
    context: str | None | UnsetType = UNSET
    if "context" in fields.names:
        context = _as_text(fields.get("context"), _join(path, "context"), findings)
    place = _join(path, "messages")
    if "messages" not in fields.names:
        findings.append(_missing(fields, "messages", path, READ_FIELDS[RowFormat.CHAT]))
        return None
    entries = fields.get("messages")
    if not isinstance(entries, list):
        allowed = "a list of messages, each with author and content"
        findings.append(
            Finding("wrong_type", f"messages is {_describe(entries)}.", allowed, path=place)
        )
        return None
    messages = [
        _check_message(entry, f"{place}[{position}]", findings)
        for position, entry in enumerate(entries)
    ]
    findings += _check_order([_author(message) for message in messages], place)
    if None in messages or context is None:
        return None
    return ChatRow(messages, context)  # type: ignore[arg-type]


def _count_messages(fields: Fields) -> int:
    messages = fields.get("messages") if "messages" in fields.names else None
    return len(messages) if isinstance(messages, list) else 0


def _check_message(entry: Any, path: str, findings: list[Finding]) -> Message | None:
    names = ("author", "content")
    if not isinstance(entry, Fields):
        allowed = "an object with author and content"
        findings.append(Finding("wrong_type", f"is {_describe(entry)}.", allowed, path=path))
        return None
    before = len(findings)
    findings += _repeated(entry, names, path)
    author = _check_string(entry, "author", path, names, findings)
    if author and author not in _AUTHORS:
        findings.append(_unknown_author(author, _join(path, "author")))
    content = _check_string(entry, "content", path, names, findings)
    if any(found.severity == Severity.ERROR for found in findings[before:]):
        # A wrong content does not spoil the order of authors, which is judged next.
        return Message(author, "") if author in _AUTHORS else None  # type: ignore[arg-type]
    return Message(author, content)  # type: ignore[arg-type]


def _check_order(authors: list[str | None], path: str) -> Iterator[Finding]:
    """Judges who speaks when, as far as every author is known."""
    allowed = "user and assistant in turn, the user first, the assistant last"
    if not authors:
        yield Finding("empty_messages", "messages is empty.", allowed, path=path)
        return
    for position, author in enumerate(authors):
        expected = _AUTHORS[position % 2]
        if author is None:
            return
        if author != expected:
            what = f"the message is the {author}'s where the {expected}'s is due."
            yield Finding("wrong_order", what, allowed, path=f"{path}[{position}].author")
            return
    if len(authors) % 2:
        what = "the conversation ends with the user's message."
        yield Finding("ends_with_user", what, allowed, "Add the answer to learn.", path=path)


def _author(message: Message | None) -> str | None:
    return message.author if message else None


def _check_string(
    fields: Fields, name: str, path: str, known: tuple[str, ...], findings: list[Finding]
) -> str | None:
    if name not in fields.names:
        findings.append(_missing(fields, name, path, known))
        return None
    place = _join(path, name)
    text = _as_text(fields.get(name), place, findings)
    if text == "":
        findings.append(Finding("empty_text", f"{name} is empty.", "text", path=place))
    return text


def _as_text(value: Any, place: str, findings: list[Finding]) -> str | None:
    if not isinstance(value, str) or isinstance(value, Number):
        name = place.rpartition(".")[2]
        fix = f"Leave {name} out where there is none." if name == "context" else ""
        findings.append(
            Finding("wrong_type", f"{name} is {_describe(value)}.", "text", fix, path=place)
        )
        return None
    if "\0" in value:
        findings.append(
            Finding(
                "null_character",
                f"the text has the character U+0000 at position {value.index(chr(0)) + 1}.",
                fix="It is kept as it is; text from a binary file was probably read.",
                severity=Severity.WARNING,
                path=place,
            )
        )
    return value


def _repeated(fields: Fields, names: tuple[str, ...], path: str) -> Iterator[Finding]:
    for name in names:
        count = fields.count(name)
        if count > 1:
            what = f"{name} stands {count} times in one object."
            yield Finding("repeated_field", what, "once", path=_join(path, name))


def _missing(fields: Fields, name: str, path: str, known: tuple[str, ...]) -> Finding:
    other = misspelling_of(name, possible_names(fields.names), known)
    if other:
        fix = f"Did you mean {name} where the row has {quote(other)}?"
    else:
        fix = f"The fields are {list_names(fields.names)}." if fields.names else ""
    return Finding("missing_field", f"{name} is missing.", fix=fix, path=_join(path, name))


def _unknown_author(author: str, path: str) -> Finding:
    meant = "".join(author_for(name) for name in possible_names((author,)))
    fix = f"Did you mean {meant}?" if meant else ""
    if author.strip().lower() in ("system", "developer"):
        fix = "Put what it says into the row's context."
    what = f"the author is {quote(author)}."
    return Finding("unknown_author", what, "user, assistant", fix, path=path)


def _other_format(fields: Fields, path: str, row_format: RowFormat) -> Finding | None:
    names = set(fields.names)
    if names & set(_REQUIRED[row_format]):
        return None
    if row_format == RowFormat.TEXT and "messages" in names:
        what, fix = "a chat row stands where text rows are expected.", "Name a chat model"
    elif row_format == RowFormat.CHAT and names & set(_REQUIRED[RowFormat.TEXT]):
        what, fix = "a text row stands where chat rows are expected.", "Name a text model"
    else:
        return None
    fix += " in large_model_reference, or write every row in one format."
    return Finding("other_format", what, _EXAMPLE[row_format], fix, path=path)


def _not_an_object(value: Any, path: str, row_format: RowFormat) -> Finding:
    what = f"the row is {_describe(value)}."
    fix = "Write every example on a line of its own." if isinstance(value, list) and value else ""
    return Finding("not_an_object", what, _EXAMPLE[row_format], fix, path=path)


def _describe(value: Any) -> str:
    """Says what a JSON value is, for a message."""
    if isinstance(value, Number):
        return f"a number ({value if len(value) <= 20 else value[:19] + '…'})"
    if isinstance(value, str):
        return f"a text ({quote(value)})"
    if isinstance(value, Fields):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value):,}" if value else "an empty list"
    return {None: "null", True: "true", False: "false"}[value]


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
