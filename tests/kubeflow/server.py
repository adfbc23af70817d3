"""The HTTP side: JSON and multipart uploads on loopback."""

from __future__ import annotations

import json
import re
from email import policy
from email.parser import BytesParser
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.kubeflow.backend import Backend, Call, find_route
from tests.kubeflow.errors import ApiError, Code, invalid
from tests.loopback_server import LoopbackHandler, LoopbackServer
from tests.vertex.faults import ConnectionDropped

_FILE = "uploadfile"
# How Kubernetes' own API leads to the server: kfp's client asks there where it is given no host.
_PROXY = re.compile(r"/*api/v1/namespaces/[^/]+/services/ml-pipeline:http/proxy/+")


class Server(LoopbackServer):
    """Serves a backend over HTTP."""

    def __init__(self, backend: Backend, port: int = 0) -> None:
        """Take a port, 0 for a free one."""
        super().__init__(_Handler, port, backend=backend)


class _Handler(LoopbackHandler):
    backend: Backend

    def _answer(self) -> None:
        content = self.read_body()
        try:
            status, answer = HTTPStatus.OK, self._serve(content)
        except ApiError as error:
            status, answer = error.code.status, error.body()
        except ConnectionDropped:
            self.reset()
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
