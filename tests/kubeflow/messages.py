"""JSON messages of the API: bodies are parsed as strictly, answers written as the server does.

Their fields and types are read out of the installed kfp-server-api, which is generated from the
server's own definition.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import kfp_server_api

from tests.kubeflow.errors import invalid

NEVER = "1970-01-01T00:00:00Z"  # what the server says of times that have not come
_TYPES: dict[str, tuple[type, ...]] = {
    # 64-bit integers are texts in JSON, and are taken as numbers too.
    "str": (str, int),
    "int": (int,),
    "bool": (bool,),
    "datetime": (str,),
    "object": (dict, list, str, int, float, bool, type(None)),
}
_COLLECTION = re.compile(r"(?:dict\(str, (?P<value>.+)\)|list\[(?P<item>.+)\])")


def check(body: Any, kind: str) -> dict[str, Any]:
    """Refuse a body with unknown fields or values of a wrong type.

    Args:
        body: The JSON.
        kind: The message, as kfp-server-api calls it: V2beta1Run.

    Returns:
        The body.

    Raises:
        ApiError: something in it is unknown or of a wrong type (400).
    """
    _check(body, kind, "body")
    assert isinstance(body, dict)
    return body


def _check(value: Any, kind: str, where: str) -> None:
    if value is None:
        return
    if found := _COLLECTION.fullmatch(kind):
        _check_collection(value, found, where)
    elif kind in _TYPES:
        is_number_for_flag = isinstance(value, bool) and kind in ("str", "int")
        if not isinstance(value, _TYPES[kind]) or is_number_for_flag:
            raise _wrong(where, value, kind)
        if kind == "datetime":
            parse_time(value, where)
    else:
        _check_message(value, kind, where)


def _check_collection(value: Any, kind: re.Match[str], where: str) -> None:
    if kind["value"] is not None:
        if not isinstance(value, dict):
            raise _wrong(where, value, "an object")
        for name, item in value.items():
            _check(item, kind["value"], f"{where}.{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _check(item, kind["item"], f"{where}[{number}]")
    else:
        raise _wrong(where, value, "a list")


def _check_message(value: Any, kind: str, where: str) -> None:
    model = getattr(kfp_server_api, kind)
    values = getattr(model, "allowable_values", None)
    if values is not None:
        if value not in values:
            raise _wrong(where, value, kind)
        return
    if not isinstance(value, dict):
        raise _wrong(where, value, kind)
    for name, item in value.items():
        if name not in model.openapi_types:
            raise invalid(f'proto: (line 1:2): unknown field "{name}" in {where}')
        _check(item, model.openapi_types[name], f"{where}.{name}")


def _wrong(where: str, value: Any, kind: str) -> Exception:
    return invalid(f"proto: invalid value for {where} field: {value!r} is not {kind}")


def without_empty(message: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is empty, as protobuf's JSON does."""
    return {
        name: value for name, value in message.items() if value not in (None, "", [], {}, False)
    }


def write_time(time: datetime | None) -> str:
    """Write a time as the server keeps it: whole seconds; one that has not come is 1970."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if time else NEVER


def parse_time(text: str, where: str = "time") -> datetime:
    """Read an RFC 3339 time.

    Raises:
        ApiError: it is none (400).
    """
    try:
        time = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise _wrong(where, text, "an RFC 3339 time") from None
    if time.tzinfo is None:
        raise _wrong(where, text, "an RFC 3339 time with its zone")
    return time
