"""Server-sent events: an answer while it is written."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from fastapi import Request
from fastapi.responses import Response

from kfp_llm_tuning.components.serving.refusals import (
    CLIENT_LEFT,
    Refusal,
    internal_error,
    refusal_body,
)

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

# Caches and proxies pass every event on as it comes.
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

_log = logging.getLogger(__name__)

Events = AsyncGenerator[dict[str, Any] | str, None]


async def event_stream(request: Request, events: Events, seconds: float) -> Response:
    """Makes a response of events.

    Args:
        request: Who is answered.
        events: JSON objects, or texts that are sent as they are.
        seconds: Time in which the client must have read them, from the first on.

    Returns:
        The response.

    Raises:
        Refusal: Or any other error, if that comes before the first event: the response then has
            its status. One that comes later is the last event.
    """
    first = await anext(events)
    return _EventStream(request, first, events, seconds)


class _EventStream(Response):
    media_type = "text/event-stream"

    def __init__(
        self, request: Request, first: dict[str, Any] | str, events: Events, seconds: float
    ) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._request = request
        self._first = first
        self._events = events
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Whoever asked is watched by the events themselves, which end when nobody is there.
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        try:
            async with aclosing(self._events), asyncio.timeout(self._seconds):
                await send(start)
                async for event in self._all():
                    await send(_part(_data(event), is_last=False))
                await send(_part(b"", is_last=True))
        except TimeoutError:
            # uvicorn closes a connection whose response it does not get whole.
            _log.warning("A client did not read its answer within %g s.", self._seconds)

    async def _all(self) -> AsyncIterator[dict[str, Any] | str]:
        yield self._first
        try:
            async for event in self._events:
                yield event
        except Refusal as refusal:
            if refusal.status != CLIENT_LEFT:
                yield refusal_body(refusal, self._request.scope)
        except Exception:
            yield refusal_body(internal_error(self._request.scope), self._request.scope)


def _part(body: bytes, is_last: bool) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": not is_last}


def _data(event: dict[str, Any] | str) -> bytes:
    # ASCII: some clients take U+2028 in a text for the end of a line.
    text = event if isinstance(event, str) else json.dumps(event, separators=(",", ":"))
    return f"data: {text}\n\n".encode()
