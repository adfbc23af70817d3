"""What happens around every request: its id, its line in the log, its count, limits of its body.

Plain ASGI, so that streams pass through untouched.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.serving.admission import State
from kfp_llm_tuning.components.serving.refusals import CLIENT_LEFT, Refusal
from kfp_llm_tuning.components.serving.settings import METRICS_ROUTE

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from kfp_llm_tuning.components.serving.service import Service
    from kfp_llm_tuning.components.serving.settings import ServerSettings

_SANE_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)
# All paths that lead nowhere: clients must not be able to make counters.
_NOWHERE = "other"

_logger = logging.getLogger("kfp_llm_tuning.requests")


class RequestLog:
    """Gives every request an id, counts it, and writes one line about it when it has ended.

    The line holds what the routes put into ``request.state.facts``. Health checks and scrapes are
    counted, but written only where they are asked in a way that they do not answer.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        """Wraps an application.

        Args:
            app: The application.
            service: Counts requests, and knows whether the server drains.
        """
        self._app = app
        self._service = service
        self._probes = (service.settings.health_route, METRICS_ROUTE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["request_id"] = _request_id(Headers(scope=scope).get("x-request-id", ""))
        state["facts"] = {}
        status = CLIENT_LEFT
        begun = time.perf_counter()

        async def note_and_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._mark(message, scope)
            await send(message)

        try:
            await self._app(scope, receive, note_and_send)
        except Exception:
            status = 500
            raise
        finally:
            self._note(scope, status, time.perf_counter() - begun)

    def _mark(self, message: Message, scope: Scope) -> None:
        headers = MutableHeaders(scope=message)
        headers["x-request-id"] = scope["state"]["request_id"]
        drains = self._service.admission.state is State.DRAINING
        # To close a connection while a body is coming in would reset it, and lose the answer.
        if message["status"] == 408 or (drains and not scope["state"].get("body_is_coming")):
            headers["connection"] = "close"

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", _NOWHERE)
        self._service.metrics.request(route, status, seconds)
        if route in self._probes and status in (200, 503):
            return
        state = scope["state"]
        facts = {
            "request_id": state["request_id"],
            "method": scope["method"],
            "route": route,
            "status": status,
            "seconds": round(seconds, 4),
            **state["facts"],
        }
        _logger.info("%s %s", route, status, extra=facts)


class BodyLimits:
    """Refuses a body that is too long, or takes too long to come in, before all of it is read."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        """Wraps an application.

        Args:
            app: The application.
            settings: The limits.
        """
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        announced = int(headers.get("content-length", 0))
        state = scope.setdefault("state", {})
        state["body_is_coming"] = announced > 0 or "transfer-encoding" in headers
        limit, seconds = self._settings.max_body_bytes, self._settings.body_timeout_seconds
        deadline = asyncio.get_running_loop().time() + seconds
        size = 0

        async def limited_receive() -> Message:
            nonlocal size
            if not state["body_is_coming"]:
                return await receive()
            if announced > limit:
                raise _too_long(limit)
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                what = f"The request's body did not come in within {seconds:g} seconds."
                raise Refusal(408, what) from None
            size += len(message.get("body", b""))
            if size > limit:
                raise _too_long(limit)
            state["body_is_coming"] = message.get("more_body", False)
            return message

        await self._app(scope, limited_receive, send)


def _too_long(limit: int) -> Refusal:
    return Refusal(413, Problem("the request's body is too long.", allowed=f"{limit:,} bytes"))


def _request_id(given: str) -> str:
    return given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex
