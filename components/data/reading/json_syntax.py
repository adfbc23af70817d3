"""Parses one line of JSON as a careful reader does, and says what is wrong with it."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from kfp_llm_tuning.components.common.wording import escape
from kfp_llm_tuning.components.data.reading.fast_check import DECODE_ERRORS
from kfp_llm_tuning.components.data.reading.findings import Finding
from kfp_llm_tuning.components.data.reading.lines import BYTE_ORDER_MARK

JSON_WHITESPACE = b" \t\r\n"
_SURROGATE = re.compile("[\ud800-\udfff]")
_MSGSPEC_MESSAGE = re.compile(r"(?:JSON is malformed: )?(.*?) \(byte (\d+)\)", re.DOTALL)
_PYTHON_LITERAL = re.compile(r"[\[{(,:]\s*(?:'|None\b|True\b|False\b)")
_CONTEXT_BYTES = 24

# Every field is skipped, its syntax checked, exactly as the fast check skips ignored fields.
_skip = msgspec.json.Decoder(msgspec.Raw)


class Number(str):
    """A number as it is written; its value does not matter here."""


class Fields:
    """A JSON object with its fields in order, repeated ones included.

    Attributes:
        pairs: Name and value of every field.
        names: The names in order, repeated ones included.
    """

    __slots__ = ("_values", "names", "pairs")

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        """Takes what the parser found."""
        self.pairs = pairs
        self._values = dict(pairs)
        self.names = tuple(self._values)
        if len(self.names) < len(pairs):
            self.names = tuple(name for name, _ in pairs)

    @property
    def has_repeated(self) -> bool:
        """Whether a field stands in the object more than once."""
        return len(self._values) < len(self.pairs)

    def count(self, name: str) -> int:
        """Counts how often a field stands in the object."""
        return self.names.count(name)

    def get(self, name: str) -> Any:
        """Gives a field's last value; it must be there."""
        return self._values[name]

    def find(self, name: str) -> Any:
        """Gives a field's last value; None where it is missing, or null."""
        return self._values.get(name)


class _NotJson(ValueError):
    """NaN, Infinity and -Infinity, which Python's parser lets pass."""


def _refuse_constant(name: str) -> Any:
    raise _NotJson(name)


_parser = json.JSONDecoder(
    object_pairs_hook=Fields,
    parse_int=Number,
    parse_float=Number,
    parse_constant=_refuse_constant,
)


def parse(line: bytes) -> Any | Finding:
    """Parses a line.

    Args:
        line: One line without its newline, not blank.

    Returns:
        The value: text, :class:`Number`, :class:`Fields`, list, bool or None. Where the line is
        no JSON, the finding that says why.
    """
    if line.startswith(BYTE_ORDER_MARK):
        return Finding(
            "byte_order_mark",
            "a byte order mark stands inside the file.",
            fix="Files were joined with their marks: remove the bytes EF BB BF.",
        )
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        return Finding(
            "not_utf8",
            f"byte 0x{line[error.start]:02x} at position {error.start + 1} is not UTF-8.",
            fix="Save the file as UTF-8.",
        )
    try:
        value = _parser.decode(text)
        _skip.decode(line)
    except RecursionError:
        return Finding("nested_too_deeply", "the JSON is nested too deeply to be read.")
    except _NotJson as error:
        return Finding("not_a_number", f"{error} is not JSON.", "finite numbers, or null")
    except (ValueError, *DECODE_ERRORS) as error:
        return _explain(line, text, error)
    return value


def _explain(line: bytes, text: str, error: Exception) -> Finding:
    if _has_half_pair(text):
        return Finding(
            "half_surrogate_pair",
            "an escape \\ud800-\\udfff stands without its other half.",
            "a pair such as \\ud83d\\ude00, or the character itself",
            "A text was probably cut in the middle of an emoji.",
        )
    message, position = _message(line, error)
    near = line[max(0, position - _CONTEXT_BYTES) : position + _CONTEXT_BYTES]
    shown = escape(near.decode(errors="ignore"))
    kind, fix = _likely_cause(text, message)
    if kind == "cut_off_json":
        message = "the line ends within a value"
    what = f"not valid JSON: {message} at byte {position + 1}, near `{shown}`."
    return Finding(kind, what, fix=fix)


def _likely_cause(text: str, message: str) -> tuple[str, str]:
    if "truncated" in message:
        return "cut_off_json", "The object must begin and end on one line."
    stripped = text.rstrip()
    if message.startswith("trailing characters"):
        if stripped.endswith(","):
            return "not_json", "Remove the comma at the line's end."
        return "several_values", "Write one object a line."
    if _PYTHON_LITERAL.search(text):
        return "not_json", "This looks like a Python literal: write it with json.dumps()."
    if not stripped.lstrip().startswith("{"):
        return "not_json", "Write one JSON object a line."
    return "not_json", ""


def _message(line: bytes, error: Exception) -> tuple[str, int]:
    """Takes message and byte position from msgspec, whose verdict the fast check follows too."""
    try:
        _skip.decode(line)
    except DECODE_ERRORS as refused:
        error = refused
    found = _MSGSPEC_MESSAGE.fullmatch(str(error))
    if found:
        # Of what follows the value, the byte after the first is named.
        return found[1], int(found[2]) - found[1].startswith("trailing characters")
    return str(error), len(line) - 1


def _has_half_pair(text: str) -> bool:
    try:
        decoded = json.dumps(json.loads(text), ensure_ascii=False)
    except (ValueError, RecursionError):
        return False
    return bool(_SURROGATE.search(decoded))
