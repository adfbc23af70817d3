"""What the local stand-ins of services share: HTTP on loopback, and a process that serves."""

from __future__ import annotations

import shlex
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_TICK_SECONDS = 1.0


def free_port() -> int:
    """Find a port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class LoopbackServer:
    """Serves HTTP in a thread.

    Attributes:
        url: Where it listens.
    """

    def __init__(self, handler: type[LoopbackHandler], port: int = 0, **shared: Any) -> None:
        """Take a port.

        Args:
            handler: Answers requests.
            port: 0 takes a free one.
            shared: Attributes of every handler: what they answer from.
        """
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", port), type(handler.__name__, (handler,), shared)
        )
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class LoopbackHandler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    # Head and body go out in two writes: Nagle's algorithm would hold the second back for 40 ms.
    disable_nagle_algorithm = True

    def read_body(self) -> bytes:
        """Read what the request brings."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def reset(self) -> None:
        """End the connection as a machine that breaks down does: with a reset."""
        linger_zero = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_zero)
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: what is served logs the calls."""


def serve_until_interrupted(
    environment: Mapping[str, str], note: str, tick: Callable[[], Any]
) -> None:
    """Print the variables that lead a shell's clients to a server, and wait for Ctrl-C or SIGTERM.

    Args:
        environment: The variables.
        note: A line for people.
        tick: Called every second.
    """
    for name, value in environment.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
    sys.stdout.write(f"# {note}; ends with Ctrl-C.\n")
    sys.stdout.flush()
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    while not stopped.wait(_TICK_SECONDS):
        tick()
