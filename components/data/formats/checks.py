"""Looks at the fields of a row, and says of each what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from kfp_llm_tuning.components.data.reading.field_names import (
    list_names,
    misspelling_of,
    possible_names,
    quote,
)
from kfp_llm_tuning.components.data.reading.findings import Finding, Severity
from kfp_llm_tuning.components.data.reading.json_syntax import Fields, Number, parse

# Whole numbers of more digits are no data, and Python refuses to write very long ones.
_MOST_DIGITS = 300


def join(path: str, name: str) -> str:
    """Writes the path of a field: ``messages[2].content``."""
    return f"{path}.{name}" if path else name


def describe(value: Any) -> str:
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


def is_text(value: Any) -> bool:
    """Tells whether a value is a text, and no number."""
    return isinstance(value, str) and not isinstance(value, Number)


def wrong_type(value: Any, path: str, allowed: str, fix: str = "") -> Finding:
    """Says that a field holds something of another kind than it should."""
    return Finding("wrong_type", f"{_named(path)}is {describe(value)}.", allowed, fix, path=path)


def missing(fields: Fields, name: str, path: str, known: tuple[str, ...]) -> Finding:
    """Says that a field is not there, and under which name it may stand.

    Args:
        fields: The object.
        name: The field.
        path: Of the object.
        known: Fields that keep their own names, and are therefore no misspelling.
    """
    other = misspelling_of(name, possible_names(fields.names), known)
    if other:
        fix = f"Did you mean {name} where the row has {quote(other)}?"
    else:
        fix = f"The fields are {list_names(fields.names)}." if fields.names else ""
    return Finding("missing_field", f"{name} is missing.", fix=fix, path=join(path, name))


def repeated(fields: Fields, names: Sequence[str], path: str) -> Iterator[Finding]:
    """Finds fields that stand more than once in one object."""
    if not fields.has_repeated:
        return
    for name in names:
        count = fields.count(name)
        if count > 1:
            what = f"{name} stands {count} times in one object."
            yield Finding("repeated_field", what, "once", path=join(path, name))


def check_text(value: Any, path: str, findings: list[Finding], fix: str = "") -> str | None:
    """Checks that a value is a text; an empty one is.

    Args:
        value: The value.
        path: Its path.
        findings: Takes what is wrong with it.
        fix: What to do where it is none.

    Returns:
        The text, or None.
    """
    if not is_text(value):
        findings.append(wrong_type(value, path, "text", fix))
        return None
    if "\0" in value:
        findings.append(
            Finding(
                "null_character",
                f"the text has the character U+0000 at position {value.index(chr(0)) + 1}.",
                fix="It is kept as it is; text from a binary file was probably read.",
                severity=Severity.WARNING,
                path=path,
            )
        )
    return str(value)


def check_filled_text(value: Any, path: str, findings: list[Finding]) -> str | None:
    """Checks that a value is a text, and no empty one.

    Args:
        value: The value.
        path: Its path.
        findings: Takes what is wrong with it.

    Returns:
        The text, which may be empty where that was found; None where it is none.
    """
    text = check_text(value, path, findings)
    if text == "":
        findings.append(empty_text(path))
    return text


def filled_text(
    fields: Fields, name: str, path: str, known: tuple[str, ...], findings: list[Finding]
) -> str | None:
    """Checks that a field is there and a text that is not empty.

    Args:
        fields: The object.
        name: The field.
        path: Of the object.
        known: As of :func:`missing`.
        findings: Takes what is wrong.

    Returns:
        The text, which may be empty where that was found; None where it is none.
    """
    if name not in fields.names:
        findings.append(missing(fields, name, path, known))
        return None
    return check_filled_text(fields.get(name), join(path, name), findings)


def empty_text(path: str) -> Finding:
    """Says that a text is empty."""
    return Finding("empty_text", f"{_named(path)}is empty.", "text", path=path)


def _named(path: str) -> str:
    """Gives the name of a field and a space; nothing of an entry of a list."""
    name = path.rpartition(".")[2]
    return "" if name.endswith("]") else f"{name} "


def optional_text(fields: Fields, name: str, path: str, findings: list[Finding]) -> str:
    """Gives a text; "" where it is missing, null or, which is found, something else."""
    value = fields.find(name)
    return "" if value is None else check_text(value, join(path, name), findings) or ""


def required_list(
    fields: Fields, name: str, path: str, allowed: str, findings: list[Finding]
) -> list[Any] | None:
    """Gives a list that must be there; None where it is not, which is found."""
    if name not in fields.names:
        findings.append(missing(fields, name, path, ()))
        return None
    value = fields.get(name)
    if not isinstance(value, list):
        findings.append(wrong_type(value, join(path, name), allowed))
        return None
    return value


def has_errors(findings: Sequence[Finding]) -> bool:
    """Tells whether any of the findings is an error."""
    return any(found.severity == Severity.ERROR for found in findings)


def plain_value(value: Any, path: str, findings: list[Finding]) -> Any:
    """Makes ordinary values of what was parsed, objects and numbers included.

    Args:
        value: A value as :func:`parse` gives it.
        path: Its path.
        findings: Takes fields that are repeated, and numbers that are too large.

    Returns:
        The value as ``json.loads`` would give it.
    """
    if isinstance(value, Fields):
        findings += repeated(value, tuple(dict.fromkeys(value.names)), path)
        return {name: plain_value(held, join(path, name), findings) for name, held in value.pairs}
    if isinstance(value, Number):
        return _plain_number(value, path, findings)
    if isinstance(value, list):
        return [plain_value(held, f"{path}[{i}]", findings) for i, held in enumerate(value)]
    return value


def embedded_json(text: str, path: str, allowed: str, findings: list[Finding]) -> Any:
    """Parses a text that holds JSON.

    Args:
        text: The text.
        path: Its path.
        allowed: What it should hold.
        findings: Takes why it cannot be parsed.

    Returns:
        The value as :func:`parse` gives it; None where it cannot be parsed.
    """
    value = parse(text.encode())
    if isinstance(value, Finding):
        what = f"{path.rpartition('.')[2]} is a text that is no JSON ({quote(text)})."
        findings.append(Finding("not_json", what, allowed, path=path))
        return None
    return value


def _plain_number(number: Number, path: str, findings: list[Finding]) -> int | float:
    if number.lstrip("-").isdigit() and len(number) <= _MOST_DIGITS:
        return int(number)
    value = float(number)
    if math.isinf(value):
        what = f"{path.rpartition('.')[2]} is {describe(number)}, which no number can hold."
        findings.append(Finding("not_a_number", what, path=path))
    return value
