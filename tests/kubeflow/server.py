"""The HTTP side: JSON and multipart uploads on loopback."""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
from email import policy
from email.parser import BytesParser
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.kubeflow.backend import Backend, Call, find_route
from tests.kubeflow.errors import ApiError, Code, invalid
from tests.vertex.faults import ConnectionDropped

_FILE = "uploadfile"
# How Kubernetes' own API leads to the server: kfp's client asks there where it is given no host.
_PROXY = re.compile(r"/*api/v1/namespaces/[^/]+/services/ml-pipeline:http/proxy/+")


class Server:
    """Serves a backend over HTTP.

    Attributes:
        url: Where it listens.
    """

    def __init__(self, backend: Backend, port: int = 0) -> None:
        """Take a port, 0 for a free one."""
        handler = type("Handler", (_Handler,), {"backend": backend})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
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


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body go out in two writes: Nagle's algorithm would hold the second back for 40 ms.
    disable_nagle_algorithm = True
    backend: Backend

    def _answer(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            status, answer = HTTPStatus.OK, self._serve(content)
        except ApiError as error:
            status, answer = error.code.status, error.body()
        except ConnectionDropped:
            self._reset()
            return
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = do_PATCH = _answer  # noqa: N815

    def _serve(self, content: bytes) -> Any:
        url = urlsplit(self.path)
        self._check_token()
        route, path = find_route(self.command, _PROXY.sub("/", unquote(url.path)))
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("multipart/form-data"):
            call = Call(path, query, upload=_uploaded(kind, content))
        else:
            call = Call(path, query, _json(content) if self.command != "GET" else None)
        return self.backend.call(route, call)

    def _check_token(self) -> None:
        wanted, given = self.backend.token, self.headers.get("authorization", "")
        if wanted and given != f"Bearer {wanted}":
            raise ApiError(Code.UNAUTHENTICATED, "Request header error: there is no user identity.")

    def _reset(self) -> None:
        linger_zero = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_zero)
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: the backend logs the calls."""


def _json(content: bytes) -> Any:
    try:
        return json.loads(content) if content.strip() else None
    except ValueError as error:
        raise invalid(f"proto: syntax error: {error}") from error


def _uploaded(kind: str, content: bytes) -> tuple[str, bytes] | None:
    head = f"Content-Type: {kind}\r\n\r\n".encode()
    message = BytesParser(policy=policy.HTTP).parsebytes(head + content)
    for part in message.iter_parts():
        if part.get_param("name", header="content-disposition") == _FILE:
            data = part.get_payload(decode=True)
            assert isinstance(data, bytes)
            return part.get_filename() or "", data
    return None
