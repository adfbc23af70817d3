"""Runs the application until it is told to end, and then ends without losing a request."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import uvicorn

from kfp_llm_tuning.components.common.errors import exit_on_error
from kfp_llm_tuning.components.serving.admission import State
from kfp_llm_tuning.components.serving.app import create_app
from kfp_llm_tuning.components.serving.connections import connection_class
from kfp_llm_tuning.components.serving.listening import BACKLOG, refuse_new_connections

if TYPE_CHECKING:
    from fastapi import FastAPI

    from kfp_llm_tuning.components.generation.tuned_model import TunedModel
    from kfp_llm_tuning.components.serving.service import Service
    from kfp_llm_tuning.components.serving.settings import ServerSettings

# The kernel completes connections that had begun within this time: a round trip.
_HANDSHAKE_SECONDS = 0.2
# Requests that are under way to an idle connection arrive within this time.
_LAST_CALL_SECONDS = 1.0

_logger = logging.getLogger(__name__)


def run(
    settings: ServerSettings, listener: socket.socket, load: Callable[[], TunedModel]
) -> NoReturn:
    """Serves until SIGTERM or SIGINT, and ends the process.

    Exit codes are those of every command: 0, or what kept the model from being loaded or broke its
    engine: whoever started the container then starts it anew.

    Args:
        settings: How the model is served.
        listener: From `listen`.
        load: As of `create_app`.
    """
    code = 0
    try:
        with exit_on_error():
            serve(settings, listener, load)
    except SystemExit as end:
        code = int(end.code or 0)
    # A thread that still loads or holds the model would keep the process, or crash it.
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def serve(
    settings: ServerSettings, listener: socket.socket, load: Callable[[], TunedModel]
) -> None:
    """Serves until SIGTERM or SIGINT.

    Args:
        settings: As of `run`.
        listener: As of `run`.
        load: As of `run`.

    Raises:
        Exception: What kept the model from being loaded, or that its engine broke.
    """
    failures: list[Exception] = []

    def fail(error: Exception) -> None:
        failures.append(error)
        server.should_exit = True

    app = create_app(settings, load, fail)
    server = _Server(_config(settings, app), app.state.service, fail)
    server.run(sockets=[listener])
    if failures:
        raise failures[0]


def _config(settings: ServerSettings, app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=connection_class(settings.head_timeout_seconds, settings.body_timeout_seconds),
        loop="asyncio",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.finish_seconds,
    )


class _Server(uvicorn.Server):
    """uvicorn's server, which ends in three steps.

    It drains: its health is false, and requests are still let in. It closes: no connection can be
    begun. It finishes: what came in is answered.
    """

    def __init__(
        self, config: uvicorn.Config, service: Service, fail: Callable[[Exception], None]
    ) -> None:
        super().__init__(config)
        self._service = service
        self._fail = fail
        self._closes_at = 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins to drain; a second signal ends the process at once."""
        if self.should_exit:
            os._exit(128 + sig)
        self.should_exit = True
        if self._service.admission.state is State.OK:
            self._service.admission.state = State.DRAINING
            self._closes_at = time.monotonic() + self._service.settings.drain_seconds
        told = "Told to end by %s: draining. A second signal ends at once."
        # Not here, where the signal may have interrupted the writing of a log line.
        loop = asyncio.get_running_loop()
        loop.call_soon_threadsafe(_logger.info, told, signal.Signals(sig).name)

    async def on_tick(self, counter: int) -> bool:
        """Tells whether it is time to close: at once where nothing can be answered any more."""
        if self._service.is_broken and not self.should_exit:
            self._fail(RuntimeError("The engine broke: no request can be answered any more."))
        return await super().on_tick(counter) and time.monotonic() >= self._closes_at

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Closes and finishes."""
        await self._accept_the_last(sockets or [])
        await self._wait_for_requests_under_way()
        await super().shutdown(sockets)

    async def _accept_the_last(self, listeners: list[socket.socket]) -> None:
        for listener in listeners:
            refuse_new_connections(listener)
        await asyncio.sleep(_HANDSHAKE_SECONDS)
        for listener in listeners:
            asyncio.get_running_loop().remove_reader(listener)
        # asyncio attaches a connection to its server in the round after that of accepting it.
        for _ in range(3):
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()

    async def _wait_for_requests_under_way(self) -> None:
        deadline = time.monotonic() + _LAST_CALL_SECONDS
        while self.server_state.connections and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
