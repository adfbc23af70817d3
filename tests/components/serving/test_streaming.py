"""Server-sent events: every event is one, whatever its text, and nobody is waited for forever."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from fastapi import Request

from kfp_llm_tuning.components.serving.refusals import Refusal
from kfp_llm_tuning.components.serving.streaming import Events, event_stream

SCOPE: dict[str, Any] = {"type": "http", "path": "/predict", "headers": []}


class Source:
    """Gives events; an exception among them is raised.

    Attributes:
        closed: Whether nobody wants more.
    """

    def __init__(self, *events: Any) -> None:
        self._events: Sequence[Any] = events
        self.closed = False

    async def events(self) -> Events:
        try:
            for event in self._events:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self.closed = True


async def sent(source: Source, seconds: float = 60, reads: bool = True) -> list[Any]:
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)
        if not reads:
            await asyncio.Event().wait()

    response = await event_stream(Request(SCOPE), source.events(), seconds)
    await response(SCOPE, None, send)  # type: ignore[arg-type]
    return messages


def body(source: Source) -> bytes:
    messages = asyncio.run(sent(source))
    assert [message["type"] for message in messages[:2]] == [
        "http.response.start",
        "http.response.body",
    ]
    assert [message["more_body"] for message in messages[1:]] == [True] * (len(messages) - 2) + [
        False
    ]
    return b"".join(message.get("body", b"") for message in messages)


def test_every_event_is_one_message() -> None:
    source = Source({"a": "b"}, "[DONE]")
    messages = asyncio.run(sent(source))
    headers = dict(messages[0]["headers"])
    assert headers[b"content-type"].startswith(b"text/event-stream")
    assert headers[b"cache-control"] == b"no-cache"
    assert b"content-length" not in headers
    assert [message["body"] for message in messages[1:]] == [
        b'data: {"a":"b"}\n\n',
        b"data: [DONE]\n\n",
        b"",
    ]
    assert source.closed


@pytest.mark.parametrize("text", ["\n\n", "\r", "\u2028\u2029\x85", "data: x", "\x00", "😀"])
def test_no_text_ends_a_line(text: str) -> None:
    found = body(Source({"text": text}))
    assert found.isascii()
    assert len(found.splitlines()) == 2


def test_an_error_before_the_first_event_is_no_stream() -> None:
    source = Source(Refusal(429, "Full."))
    with pytest.raises(Refusal):
        asyncio.run(sent(source))
    assert source.closed


def test_a_later_error_is_the_last_event() -> None:
    found = body(Source({"a": 1}, Refusal(504, "Late."), {"b": 2}))
    assert found.startswith(b'data: {"a":1}\n\ndata: {"error":{"code":504')
    assert found.count(b"data: ") == 2


def test_a_fault_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    found = body(Source({"a": 1}, ZeroDivisionError("secret")))
    assert b"Internal error." in found
    assert b"secret" not in found
    assert "ZeroDivisionError: secret" in caplog.text


def test_a_client_that_left_is_told_nothing() -> None:
    assert body(Source({"a": 1}, Refusal(499, "Left."))) == b'data: {"a":1}\n\n'


def test_a_client_that_does_not_read_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    source = Source({"a": 1}, {"b": 2})
    messages = asyncio.run(sent(source, seconds=0.05, reads=False))
    assert [message["type"] for message in messages] == ["http.response.start"]
    assert source.closed
    assert "did not read its answer" in caplog.text
