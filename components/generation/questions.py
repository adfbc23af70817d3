"""Rows as questions: read in every format of datasets, with or without an answer.

An answer that a row has is left out; to one that has none an answer is added for the reading, since
the formats are of rows to learn from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kfp_llm_tuning.components.common.dataset_formats import FormatName
from kfp_llm_tuning.components.common.errors import Problem, UserError, raise_all
from kfp_llm_tuning.components.data.formats.checks import describe, filled_text, has_errors
from kfp_llm_tuning.components.data.formats.format import Format
from kfp_llm_tuning.components.data.formats.registry import UNKNOWN, format_of
from kfp_llm_tuning.components.data.reading.findings import Finding, Findings, list_problems
from kfp_llm_tuning.components.data.reading.json_syntax import JSON_WHITESPACE, Fields, parse
from kfp_llm_tuning.components.data.reading.places import Place
from kfp_llm_tuning.components.data.rows import Message, Row, TextRow
from kfp_llm_tuning.components.data.sources.parts import Rows
from kfp_llm_tuning.components.data.sources.reader import read_source
from kfp_llm_tuning.components.data.sources.row_lines import encode_row
from kfp_llm_tuning.components.generation.instances import HALF_CHARACTER, Instance

# Every bad row is counted; so many are told in full.
MAX_PROBLEMS_LISTED = 20

_ANSWER = "-"
# What a row of texts names its question, and what its answer.
_TEXTS = {
    "input_text": ("output_text",),
    "instruction": ("output",),
    "prompt": ("completion", "response"),
}
_COMPARED = frozenset(("chosen", "candidate_0", "preferred_output"))
# The published endpoint's clients have it, and no format of datasets.
_CONTENT = "content"
# What formats say of a conversation that only lacks its answer, and how they write one.
_UNANSWERED = frozenset(("no_answer", "no_last_answer", "ends_with_user"))
_LISTS = ("messages", "contents", "conversations")
_LAST_MESSAGES: dict[FormatName, Fields] = {
    FormatName.PUBLISHED: Fields([("author", "assistant"), ("content", _ANSWER)]),
    FormatName.OPENAI: Fields([("role", "assistant"), ("content", _ANSWER)]),
    FormatName.GEMINI: Fields([("role", "model"), ("parts", [Fields([("text", _ANSWER)])])]),
    FormatName.SHAREGPT: Fields([("from", "gpt"), ("value", _ANSWER)]),
}


def read_questions(uri: str, name: str = "") -> list[Instance]:
    """Reads what every row of a dataset asks.

    Args:
        uri: What `data.sources.files.list_files` takes. Its rows may be in different formats.
        name: What one file is called in messages; empty for the last part of its URI.

    Returns:
        One instance a row, in their order.

    Raises:
        UserError: For every bad row: all are counted, the first are told. Also if there is no row,
            or a file cannot be opened.
    """
    findings = Findings(MAX_PROBLEMS_LISTED)
    instances: list[Instance] = []
    for part in read_source(uri, name):
        if not isinstance(part, Rows):
            findings.add(part.finding)
            continue
        for offset, line in enumerate(part.lines[:-1].split(b"\n")):
            if not line.strip(JSON_WHITESPACE):
                continue
            place = Place(part.number(offset), file=part.file, unit=part.unit)
            found: list[Finding] = []
            instances += _read_line(line, found, str(place))
            for finding in found:
                findings.add(finding.at(place, finding.path))
    raise_all(list_problems(findings))
    if not instances:
        raise UserError(Problem("there is nothing to predict.", name or uri))
    return instances


def read_question(row: Any) -> Instance:
    """Reads what one row asks.

    Args:
        row: A row as a mapping, in any format; as :func:`read_questions` reads them.

    Returns:
        The instance.

    Raises:
        UserError: If the row asks nothing, or holds half of a character.
    """
    if not isinstance(row, Mapping):
        raise UserError(Problem("a row is no object.", allowed='such as {"prompt": "..."}'))
    try:
        line = encode_row(row)
    except UnicodeEncodeError as error:
        raise UserError(HALF_CHARACTER) from error
    findings: list[Finding] = []
    instances = list(_read_line(line, findings))
    raise_all([finding.problem() for finding in findings if has_errors([finding])])
    [instance] = instances
    return instance


def _read_line(line: bytes, findings: list[Finding], where: str = "") -> Iterator[Instance]:
    value = parse(line)
    if isinstance(value, Finding):
        findings.append(value)
        return
    for path, row in _examples(value):
        if not isinstance(row, Fields):
            what, allowed = f"the row is {describe(row)}.", 'an object such as {"prompt": "..."}'
            findings.append(Finding("not_an_object", what, allowed, path=path))
        elif instance := _read_row(row, path, findings, f"{where}, {path}" if path else where):
            yield instance


def _examples(value: Any) -> list[tuple[str, Any]]:
    """Lists the rows of a line: itself, or those of the list ``data``."""
    entries = value.find("data") if isinstance(value, Fields) else None
    if not isinstance(entries, list) or format_of(value):
        return [("", value)]
    return [(f"data[{position}]", entry) for position, entry in enumerate(entries)]


def _read_row(fields: Fields, path: str, findings: list[Finding], where: str) -> Instance | None:
    fields = _with_answer(fields)
    known = format_of(fields)
    before = len(findings)
    row: Row | None
    if known is None and _CONTENT in fields.names:
        text = filled_text(fields, _CONTENT, path, (), findings)
        row = TextRow(text or "", _ANSWER)
    else:
        row, found = _read_answered(fields, path, known or UNKNOWN)
        findings += found
    if row is None or has_errors(findings[before:]):
        return None
    if isinstance(row, TextRow):
        return Instance((Message("user", row.input_text),), where=where)
    context = row.context if isinstance(row.context, str) else ""
    return Instance(tuple(row.messages[:-1]), context, True, row.tools, where)


def _read_answered(fields: Fields, path: str, known: Format) -> tuple[Row | None, list[Finding]]:
    findings: list[Finding] = []
    row = known.read(fields, path, findings)
    if any(finding.kind in _UNANSWERED for finding in findings) and known.name in _LAST_MESSAGES:
        findings.clear()
        row = known.read(_with_last_message(fields, known.name), path, findings)
    return row, findings


def _with_answer(fields: Fields) -> Fields:
    """Gives a row of texts its answer where it has none, or an empty one; leaves out nulls."""
    pairs = [(name, value) for name, value in fields.pairs if value is not None]
    names = {name for name, _ in pairs}
    asked = next((name for name in _TEXTS if name in names), "")
    if not asked or not names.isdisjoint((*_LISTS, *_COMPARED)):
        return Fields(pairs)
    answers = _TEXTS[asked]
    pairs = [(name, value) for name, value in pairs if name not in answers or value != ""]
    if names.isdisjoint(name for name, _ in pairs if name in answers):
        pairs.append((answers[0], _ANSWER))
    return Fields(pairs)


def _with_last_message(fields: Fields, name: FormatName) -> Fields:
    last = _LAST_MESSAGES[name]
    return Fields(
        [
            (field, [*value, last] if field in _LISTS and isinstance(value, list) else value)
            for field, value in fields.pairs
        ]
    )
