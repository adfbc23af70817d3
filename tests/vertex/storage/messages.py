"""A request and a response in the shape that the handlers of gcp-storage-emulator take."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Request:
    """One request.

    Attributes:
        method: GET, POST ...
        target: Path and query.
        headers: By lower-case name.
        body: As sent.
        base_url: Of this server.
        params: Parts of the path, by the names in its route.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    base_url: str
    params: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The path, still quoted: an object's name may hold slashes."""
        return urlsplit(self.target).path

    @property
    def full_url(self) -> str:
        """The URL that was asked for."""
        return self.base_url + self.target

    @cached_property
    def query(self) -> dict[str, list[str]]:
        """The query; the conditions of the XML API's headers are named as the JSON API does."""
        query = parse_qs(urlsplit(self.target).query, keep_blank_values=True)
        for name, condition in _XML_CONDITIONS.items():
            if name in self.headers:
                query[condition] = [self.headers[name]]
        return query

    def option(self, name: str, default: str = "") -> str:
        """Returns a query parameter."""
        return self.query.get(name, [default])[-1]

    def get_header(self, name: str, default: str | None = None) -> str | None:
        """Returns a header."""
        return self.headers.get(name.lower(), default)

    @cached_property
    def data(self) -> Any:
        """The body: JSON, the two parts of a multipart upload, or bytes."""
        content_type = self.headers.get("content-type", "")
        if content_type.startswith("multipart/related"):
            (_, meta), (headers, content) = multipart(content_type, self.body)
            return {
                "meta": json.loads(meta),
                "content": content,
                "content-type": headers.get("content-type", "application/octet-stream"),
            }
        if content_type.startswith("application/json") and not self.path.startswith("/upload"):
            return json.loads(self.body or b"{}")
        return self.body


@dataclass
class Response:
    """What a handler answers.

    Attributes:
        status: Of the response.
        headers: Of the response.
        content: Its body.
    """

    status: HTTPStatus | int = HTTPStatus.OK
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b""

    def __setitem__(self, name: str, value: str) -> None:
        """Sets a header."""
        self.headers[name] = value

    def json(self, value: Any) -> None:
        """Sets a JSON body."""
        self["Content-Type"] = "application/json; charset=UTF-8"
        self.content = json.dumps(value).encode()

    def write(self, text: str) -> None:
        """Adds text to the body."""
        self.content += text.encode()

    def error(self, status: HTTPStatus, message: str, reason: str) -> None:
        """Makes it an error as Cloud Storage words it."""
        self.status = status
        if status != HTTPStatus.NOT_MODIFIED:
            errors = [{"domain": "global", "reason": reason, "message": message}]
            self.json({"error": {"code": int(status), "message": message, "errors": errors}})


def multipart(content_type: str, body: bytes) -> list[tuple[dict[str, str], bytes]]:
    """Splits a multipart body, whose parts may be binary.

    Args:
        content_type: Of the whole; names the boundary.
        body: With CRLF as line ends, or LF, as gcsfs writes them.

    Returns:
        Headers, by lower-case name, and content of each part.
    """
    boundary = _BOUNDARY.search(content_type)
    assert boundary is not None, content_type
    delimiter = b"--" + boundary.group(1).encode()
    start = body.index(delimiter) + len(delimiter)
    line_end = b"\r\n" if body[start : start + 2] == b"\r\n" else b"\n"
    parts = body[start:].split(line_end + delimiter)[:-1]
    return [_part(part[len(line_end) :], line_end) for part in parts]


def _part(part: bytes, line_end: bytes) -> tuple[dict[str, str], bytes]:
    head, _, content = part.partition(line_end * 2)
    lines = (line.partition(":") for line in head.decode().splitlines() if line)
    return {name.strip().lower(): value.strip() for name, _, value in lines}, content


_BOUNDARY = re.compile(r'boundary="?([^";]+)"?')
_XML_CONDITIONS = {
    "x-goog-if-generation-match": "ifGenerationMatch",
    "x-goog-if-metageneration-match": "ifMetagenerationMatch",
}
