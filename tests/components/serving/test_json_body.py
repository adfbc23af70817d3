"""Bodies are read strictly, and no body is a fault of the server's."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
from fastapi import Request

from kfp_llm_tuning.components.serving.json_body import (
    _first_repeated,
    read_apart,
    read_object,
)
from kfp_llm_tuning.components.serving.refusals import Refusal, refusal_response


def read(body: bytes) -> dict[str, Any]:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    return asyncio.run(read_object(Request({"type": "http", "headers": []}, receive)))


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"a": [1, 1.5, None, True, {"b": "ü\u0000\u2028😀"}]},
        {"": {"": ""}},
    ],
)
def test_an_object(value: dict[str, Any]) -> None:
    assert read(json.dumps(value).encode()) == value
    assert read(json.dumps(value, ensure_ascii=False).encode()) == value
    assert read(b"\xef\xbb\xbf \r\n" + json.dumps(value).encode() + b"\n") == value


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"null", "no JSON object"),
        (b"[]", "no JSON object"),
        (b'"text"', "no JSON object"),
        (b"{", "not JSON: Expecting property name"),
        (b'{"a": 1,}', "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": 1} {}', "Extra data"),
        (b'{"a": "\n"}', "Invalid control character"),
        (b'{"a": "\\x41"}', "escape"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": [-Infinity]}', "-Infinity is not JSON"),
        (b'{"a": 1, "b": 2, "a": 3}', "'a' stands twice"),
        (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
        (b'{"a": "\xed\xa0\x80"}', "not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b'{"a": ' + b"[" * 90_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"instances=%5B%5D", "not JSON"),
    ],
)
def test_what_is_no_object(body: bytes, expected: str) -> None:
    with pytest.raises(Refusal, match=expected) as caught:
        read(body)
    assert caught.value.status == 400
    assert caught.value.problems[0].allowed == "a JSON object in UTF-8"


def test_halves_of_surrogate_pairs_are_told_with_their_places() -> None:
    body = rb'{"a": ["fine \ud83d\ude00", "\ud83d"], "b": {"c": "\ude00"}, "\udfff": 1}'
    with pytest.raises(Refusal) as caught:
        read(body)
    assert {problem.where for problem in caught.value.problems} == {"a[1]", "b.c", ""}


def test_an_escaped_backslash_is_no_surrogate() -> None:
    assert read(rb'{"a": "\\ud83d"}') == {"a": r"\ud83d"}


def test_many_halves_of_surrogate_pairs_are_told_briefly() -> None:
    deep = b'{"' + b"n" * 100 + b'":'
    body = b'{"a": [' + rb'"\ud800",' * 20_000 + deep * 200 + rb'"\ud800"' + b"}" * 200 + b"]}"
    with pytest.raises(Refusal) as caught:
        read(body)
    assert len(caught.value.problems) == 20
    scope = {"type": "http", "path": "/predict"}
    assert len(refusal_response(caught.value, scope).body) < 20_000


@pytest.mark.parametrize("value", [b"{}", b"[]", b"[{}]"])
def test_more_objects_than_a_context_holds_are_not_built(
    value: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("json.loads", lambda *_, **__: pytest.fail("parsed"))
    with pytest.raises(Refusal, match="too many objects and lists. Allowed: 100,000") as caught:
        read(b'{"a": [' + (value + b",") * 100_000 + b"1]}")
    assert caught.value.status == 413


class CountedName(str):
    """A name that counts how often it is compared."""

    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        CountedName.compared += 1
        return str.__eq__(self, other)


def test_the_repeated_name_is_found_without_comparing_all_with_all() -> None:
    names = [CountedName(number) for number in range(3000)]
    assert _first_repeated(iter([*names, CountedName(2999)])) == "2999"
    assert CountedName.compared < 4 * len(names)


@pytest.mark.parametrize(("size", "thread"), [(10, "MainThread"), (70_000, "large-body_0")])
def test_large_bodies_are_read_apart(size: int, thread: str) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps({"a": "b" * size}).encode()}

    async def read_and_look() -> str:
        request = Request({"type": "http", "headers": []}, receive)
        await read_object(request)
        return await read_apart(request, lambda: threading.current_thread().name)

    assert asyncio.run(read_and_look()) == thread
