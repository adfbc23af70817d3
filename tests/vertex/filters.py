"""Filters and sort orders of list calls, as AIP-160 and AIP-132 define them."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from tests.vertex.errors import invalid

M = TypeVar("M", bound=Message)
Predicate = Callable[[Message], bool]
# Fields that can be filtered though the resource has none of that name, and how to get them.
Virtual = Mapping[str, Callable[[Message], Any]]
# Functions such as in_context("..."): the argument and a resource give an answer.
Functions = Mapping[str, Callable[[str, Message], bool]]

_SPACE = re.compile(r"\s*")
_FIELD = re.compile(r"[A-Za-z_][\w\-/]*(?:\.(?:\"[^\"]*\"|'[^']*'|[\w\-/]+))*")
_OPERATOR = re.compile(r"<=|>=|!=|=!|=|<|>|:")
_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")
_BARE = re.compile(r"[^\s()\"',]+")
_WORD = {word: re.compile(rf"{word}\b") for word in ("AND", "OR", "NOT")}


def parse_filter(
    text: str,
    kind: type[Message],
    virtual: Virtual | None = None,
    functions: Functions | None = None,
) -> Predicate:
    """Parse a filter.

    Args:
        text: The filter; empty matches everything.
        kind: The class of the resources.
        virtual: Further fields by name.
        functions: Functions by name.

    Returns:
        Says whether a resource matches.

    Raises:
        ApiError: the filter cannot be parsed or names an unknown field (400); the result raises
            it for a value that cannot be compared with its field.
    """
    parser = _Parser(text, kind, virtual or {}, functions or {})
    if parser.at_end():
        return lambda _: True
    predicate = parser.expression()
    if not parser.at_end():
        raise parser.error()
    return predicate


class _Parser:
    """Recursive descent; OR binds closer than AND, as AIP-160 has it."""

    def __init__(
        self, text: str, kind: type[Message], virtual: Virtual, functions: Functions
    ) -> None:
        self._text = text
        self._kind = kind
        self._at = 0
        self._virtual = virtual
        self._functions = functions

    def at_end(self) -> bool:
        self._take(_SPACE)
        return self._at == len(self._text)

    def error(self) -> Exception:
        return invalid(f"Invalid filter {self._text!r}: cannot parse at character {self._at}.")

    def expression(self) -> Predicate:
        parts = [self._factor()]
        while not self.at_end() and self._text[self._at] != ")":
            self._take(_WORD["AND"])
            parts.append(self._factor())
        return lambda resource: all(part(resource) for part in parts)

    def _factor(self) -> Predicate:
        parts = [self._term()]
        while self._take(_WORD["OR"]):
            parts.append(self._term())
        return lambda resource: any(part(resource) for part in parts)

    def _term(self) -> Predicate:
        if self._take(_WORD["NOT"]) or self._take(re.compile("-")):
            inner = self._simple()
            return lambda resource: not inner(resource)
        return self._simple()

    def _simple(self) -> Predicate:
        if self._take(re.compile(r"\(")):
            inner = self.expression()
            self._need(re.compile(r"\)"))
            return inner
        field = self._need(_FIELD)
        if self._take(re.compile(r"\(")):
            return self._call(field)
        operator = self._need(_OPERATOR).replace("=!", "!=")
        alternatives = [self._comparison(field, operator)]
        while self._take(re.compile(",")):
            alternatives.append(self._comparison(field, operator))
        return lambda resource: any(matches(resource) for matches in alternatives)

    def _comparison(self, field: str, operator: str) -> Predicate:
        value = self._value()
        path, virtual = _path(field), self._virtual
        if path[0] not in virtual:
            _field(self._kind, path[0])
        return lambda resource: _compare(resource, path, operator, value, virtual)

    def _call(self, name: str) -> Predicate:
        function = self._functions.get(name)
        if function is None:
            raise invalid(f"Invalid filter {self._text!r}: unknown function {name}.")
        argument = self._value()
        self._need(re.compile(r"\)"))
        return lambda resource: function(argument, resource)

    def _value(self) -> str:
        quoted = self._take(_QUOTED)
        if quoted:
            return re.sub(r"\\(.)", r"\1", quoted[1:-1])
        return self._need(_BARE)

    def _take(self, pattern: re.Pattern[str]) -> str:
        if pattern is not _SPACE:
            self._take(_SPACE)
        found = pattern.match(self._text, self._at)
        if not found:
            return ""
        self._at = found.end()
        return found.group()

    def _need(self, pattern: re.Pattern[str]) -> str:
        found = self._take(pattern)
        if not found:
            raise self.error()
        return found


def _path(field: str) -> list[str]:
    parts = re.findall(r"\"[^\"]*\"|'[^']*'|[^.]+", field)
    return [part.strip("\"'") for part in parts]


def _compare(
    resource: Message, path: Sequence[str], operator: str, value: str, virtual: Virtual
) -> bool:
    if path[0] in virtual and len(path) == 1:
        return _matches(virtual[path[0]](resource), operator, value)
    return _matches(_read(resource, path), operator, value)


def _read(resource: Any, path: Sequence[str]) -> Any:
    """The value at a path: None for an unset message field or a missing key of a map."""
    if not path:
        return resource
    if isinstance(resource, Struct):
        rest = [part for part in path[1:] if not part.endswith("_value")]
        return _read(resource[path[0]], rest) if path[0] in resource else None
    if not isinstance(resource, Message):
        return resource.get(".".join(path)) if hasattr(resource, "get") else None
    field = _field(resource, path[0])
    if field.message_type and not _is_repeated(field) and not resource.HasField(field.name):
        return None
    value = getattr(resource, field.name)
    if field.enum_type and len(path) == 1 and not _is_repeated(field):
        found = field.enum_type.values_by_number.get(value)
        return found.name if found else str(value)
    return _read(value, path[1:])


def _field(resource: Message | type[Message], name: str) -> FieldDescriptor:
    descriptor = resource.DESCRIPTOR
    found = descriptor.fields_by_name.get(name) or descriptor.fields_by_camelcase_name.get(name)
    if found is None:
        raise invalid(f"Invalid filter: {descriptor.name} has no field {name!r} to filter by.")
    return found


def _is_repeated(field: FieldDescriptor) -> bool:
    return bool(field.is_repeated)


def _matches(found: Any, operator: str, value: str) -> bool:
    if operator == ":":
        return _has(found, value)
    if operator == "!=":
        return not _equal(found, value)
    if operator == "=":
        return _equal(found, value)
    if found is None:
        return False
    left, right = _comparable(found), _parse_like(_comparable(found), value)
    return bool(
        {"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}[operator]
    )


def _has(found: Any, value: str) -> bool:
    if found is None:
        return False
    if value == "*":
        return bool(found)
    if hasattr(found, "keys"):
        return value in found
    if isinstance(found, Sequence) and not isinstance(found, str):
        return any(_equal(item, value) for item in found)
    return _equal(found, value)


def _equal(found: Any, value: str) -> bool:
    if found is None:
        return value == "null"
    left = _comparable(found)
    if isinstance(left, str):
        return fnmatch.fnmatchcase(left, value.replace("[", "[[]").replace("?", "[?]"))
    return bool(left == _parse_like(left, value))


def _comparable(found: Any) -> Any:
    if isinstance(found, Timestamp):
        return found.ToDatetime()
    if isinstance(found, (str, bool, int, float)):
        return found
    raise invalid("Invalid filter: only text, numbers and times can be compared.")


def _parse_like(example: Any, value: str) -> Any:
    try:
        if isinstance(example, datetime):
            stamp = Timestamp()
            stamp.FromJsonString(value if "T" in value else f"{value}T00:00:00Z")
            return stamp.ToDatetime()
        if isinstance(example, bool):
            return {"true": True, "false": False}[value.lower()]
        return type(example)(value)
    except (KeyError, ValueError) as error:
        raise invalid(f"Invalid filter: {value!r} cannot be compared with the field.") from error


def sort_resources(resources: Sequence[M], order_by: str) -> list[M]:
    """Sort resources.

    Args:
        resources: The resources.
        order_by: Fields, each with an optional "desc", separated by commas.

    Returns:
        The resources in order.

    Raises:
        ApiError: there is no such field (400).
    """
    ordered = list(resources)
    for part in reversed([part.split() for part in order_by.split(",") if part.strip()]):
        if len(part) > 2 or part[1:] not in ([], ["desc"], ["asc"]):
            raise invalid(f"Invalid order_by: {order_by!r}.")
        ordered.sort(
            key=lambda resource: _sort_key(resource, part[0]), reverse=part[1:] == ["desc"]
        )  # noqa: B023
    return ordered


def _sort_key(resource: Message, field: str) -> tuple[bool, Any]:
    found = _read(resource, field.split("."))
    return (False, 0) if found is None else (True, _comparable(found))
