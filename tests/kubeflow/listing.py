"""Filters, sort orders and pages of the list calls."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote_plus

from tests.kubeflow.errors import invalid

Item = Mapping[str, Any]

_DEFAULT_PAGE_SIZE, _MAXIMAL_PAGE_SIZE = 20, 200
_OPERATIONS = {
    "EQUALS": 1,
    "NOT_EQUALS": 2,
    "GREATER_THAN": 3,
    "GREATER_THAN_EQUALS": 5,
    "LESS_THAN": 6,
    "LESS_THAN_EQUALS": 7,
    "IN": 8,
    "IS_SUBSTRING": 9,
}
_SCALARS = ("int_value", "long_value", "string_value", "timestamp_value")
_ARRAYS = ("int_values", "long_values", "string_values")


def list_page(
    items: Sequence[Item], query: Mapping[str, str], fields: Sequence[str], key: str
) -> tuple[list[Item], int, str]:
    """Choose, sort and cut as a list call asks.

    Args:
        items: All there are, as JSON; ``created_at`` is in whole seconds, as the server keeps it.
        query: The call's query: filter, sort_by, page_size, page_token.
        fields: What can be filtered and sorted by.
        key: The field with the items' ids.

    Returns:
        The page, how many match, and the token of the next page.

    Raises:
        ApiError: the query is wrong (400).
    """
    size = _page_size(query.get("page_size", ""))
    chosen = _Chosen.of(query, fields)
    if token := query.get("page_token", ""):
        given = chosen
        chosen = _Chosen(**_decoded(token)["chosen"])
        if (query.get("sort_by") or query.get("filter")) and given != chosen:
            raise invalid(
                "page token does not match the supplied sort by and/or filtering criteria."
            )
    found = chosen.apply(items, key)
    start = _decoded(token)["start"] if token else ""
    ids = [item[key] for item in found]
    first = ids.index(start) if start in ids else 0
    page = found[first : first + size]
    rest = found[first + size : first + size + 1]
    return page, len(found), _encoded(chosen, rest[0][key]) if rest else ""


class _Chosen:
    """What a list call chooses and how it sorts."""

    def __init__(
        self, field: str, is_descending: bool, predicates: Sequence[Mapping[str, Any]]
    ) -> None:
        self.field, self.is_descending, self.predicates = field, is_descending, predicates

    @classmethod
    def of(cls, query: Mapping[str, str], fields: Sequence[str]) -> _Chosen:
        words = query.get("sort_by", "").lower().split() or ["created_at"]
        if len(words) > 2 or words[1:] not in ([], ["asc"], ["desc"]):
            raise invalid(f"Received invalid sort by format {query['sort_by']!r}.")
        if words[0] not in fields:
            raise invalid(f"Invalid sorting field: {words[0]!r}")
        predicates = _predicates(query.get("filter", ""), fields)
        return cls(words[0], words[1:] == ["desc"], predicates)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Chosen) and vars(self) == vars(other)

    def apply(self, items: Sequence[Item], key: str) -> list[Item]:
        tests = [_test(predicate) for predicate in self.predicates]
        found = [item for item in items if all(matches(item) for matches in tests)]
        # As the database does: within one second the ids decide.
        return sorted(
            found,
            key=lambda item: (item.get(self.field) or "", item[key]),
            reverse=self.is_descending,
        )


def _page_size(text: str) -> int:
    try:
        size = int(text or 0)
    except ValueError:
        raise invalid(f"type mismatch, parameter: page_size, error: {text!r}") from None
    if size < 0:
        raise invalid(f"The page size should be greater than 0. Got {size}")
    return min(size or _DEFAULT_PAGE_SIZE, _MAXIMAL_PAGE_SIZE)


def _encoded(chosen: _Chosen, start: str) -> str:
    content = {"chosen": vars(chosen), "start": start}
    return base64.b64encode(json.dumps(content).encode()).decode()


def _decoded(token: str) -> Any:
    try:
        return json.loads(base64.b64decode(token, validate=True))
    except ValueError:
        raise invalid("Invalid page token") from None


def _predicates(encoded: str, fields: Sequence[str]) -> list[dict[str, Any]]:
    if not encoded:
        return []
    # The server decodes a filter once more than HTTP asks for: "+" and "%" in it must be escaped.
    text = re.sub(
        r'"(\w+?)(Values?)":', lambda m: f'"{m[1]}_{m[2].lower()}":', unquote_plus(encoded)
    )
    try:
        content = json.loads(text)
    except ValueError as error:
        raise invalid(f"failed to parse valid filter from {encoded!r}: {error}") from error
    if not isinstance(content, dict) or set(content) - {"predicates"}:
        raise invalid(f"failed to parse valid filter from {encoded!r}: unknown field")
    return [_checked(predicate, fields) for predicate in content.get("predicates", [])]


def _checked(predicate: dict[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    names = {number: name for name, number in _OPERATIONS.items()}
    operation = predicate.get("operation")
    operation = names.get(operation, operation) if isinstance(operation, int) else operation
    if operation not in _OPERATIONS:
        raise invalid(f"invalid predicate operation: {operation}")
    if predicate.get("key") not in fields:
        raise invalid(f"no support for filtering on unrecognized field {predicate.get('key')!r}")
    values = {name: predicate[name] for name in predicate if name not in ("operation", "key")}
    if len(values) != 1 or set(values) - {*_SCALARS, *_ARRAYS}:
        raise invalid(f"failed to parse valid filter: {predicate}")
    ((kind, value),) = values.items()
    if (operation == "IN") != (kind in _ARRAYS):
        raise invalid(f"cannot use {operation} operator on {kind}")
    if operation == "IS_SUBSTRING" and kind != "string_value":
        raise invalid(f"cannot use non string value type with operator {operation}")
    return {
        "operation": operation,
        "key": predicate["key"],
        "value": value["values"] if kind in _ARRAYS else value,
    }


def _test(predicate: Mapping[str, Any]) -> Callable[[Item], bool]:
    wanted, operation = predicate["value"], predicate["operation"]

    def matches(item: Item) -> bool:
        found = item.get(predicate["key"]) or ""
        if operation == "IN":
            return any(_same(found, one) for one in wanted)
        if operation in ("EQUALS", "NOT_EQUALS"):
            return _same(found, wanted) == (operation == "EQUALS")
        if operation == "IS_SUBSTRING":
            return _like(wanted).search(str(found)) is not None
        return {
            "GREATER_THAN": found > wanted,
            "GREATER_THAN_EQUALS": found >= wanted,
            "LESS_THAN": found < wanted,
            "LESS_THAN_EQUALS": found <= wanted,
        }[operation]

    return matches


def _same(found: Any, wanted: Any) -> bool:
    """MySQL compares without regard to case."""
    return str(found).casefold() == str(wanted).casefold()


def _like(text: str) -> re.Pattern[str]:
    """What SQL's LIKE finds: % and _ in the text stand for others."""
    parts = {"%": ".*", "_": "."}
    pattern = "".join(parts.get(letter, re.escape(letter)) for letter in text)
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)
