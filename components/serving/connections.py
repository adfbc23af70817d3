"""Connections as the server keeps them: bounded in time, and not closed over a request."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


def connection_class(head_seconds: float, body_seconds: float) -> type[H11Protocol]:
    """Makes the class of the server's connections.

    Args:
        head_seconds: Time in which the head of a request must arrive.
        body_seconds: Time for which the rest of a body is read that nobody wants any more, so that
            its sender comes to read why.

    Returns:
        uvicorn's protocol with these bounds.
    """

    class Connection(H11Protocol):
        """Closes itself where a client takes its time, which uvicorn leaves to proxies."""

        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._bound()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._bound()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._bound()

        def connection_lost(self, exc: Exception | None) -> None:
            self._unbound()
            super().connection_lost(exc)

        def shutdown(self) -> None:
            """Closes the connection after what it does; uvicorn would cut off a half-read head."""
            if self._is_idle or not self._is_answered:
                super().shutdown()

        @property
        def _is_answered(self) -> bool:
            """Whether no request waits for its answer."""
            return self.cycle is None or self.cycle.response_complete

        @property
        def _is_idle(self) -> bool:
            """Whether not a byte of a request is there."""
            waits = self.conn.their_state is h11.IDLE and self._is_answered
            return waits and not self.conn.trailing_data[0]

        def _bound(self) -> None:
            """Starts or ends the time in which the client must go on."""
            # uvicorn's own timer ends a connection of which nothing came since its last answer.
            if not self._is_answered or self.timeout_keep_alive_task is not None:
                self._unbound()
            elif self._timer is None:
                is_body = self.conn.their_state is h11.SEND_BODY
                seconds = body_seconds if is_body else head_seconds
                self._timer = self.loop.call_later(seconds, self.transport.close)

        def _unbound(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    return Connection
