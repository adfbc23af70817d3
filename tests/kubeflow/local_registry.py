"""A container registry on loopback for tests, which answers whether it has an image.

As the registries of the OCI Distribution Specification do, it sends those who bring no token to a
token service, which is at the same address.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

from tests.loopback_server import LoopbackHandler, LoopbackServer

_TOKEN = "the-token"


class LocalRegistry:
    """The server and what tests may change.

    Attributes:
        host: What the names of its images begin with.
        images: The rest of their names, such as team/image:1.
        login: User and password of whoever may look; None where everybody may.
        requests: The paths that were asked for.
    """

    def __init__(self) -> None:
        """Start the server."""
        self.images: set[str] = set()
        self.login: tuple[str, str] | None = None
        self.requests: list[str] = []
        self._server = LoopbackServer(_Handler, registry=self)
        self.host = self._server.url.removeprefix("http://")
        self._server.start()

    def close(self) -> None:
        """Stop the server."""
        self._server.stop()


class _Handler(LoopbackHandler):
    registry: LocalRegistry

    def do_HEAD(self) -> None:  # noqa: N802
        self.registry.requests.append(self.path)
        name, _, tag = self.path.removeprefix("/v2/").partition("/manifests/")
        if self.headers.get("Authorization") != f"Bearer {_TOKEN}":
            realm = f'Bearer realm="http://{self.registry.host}/token",service="local",'
            challenge = f'{realm}scope="repository:{name}:pull"'
            self._answer(401, **{"WWW-Authenticate": challenge})
        else:
            self._answer(200 if f"{name}:{tag}" in self.registry.images else 404)

    def do_GET(self) -> None:  # noqa: N802
        self.registry.requests.append(self.path)
        query = parse_qs(urlsplit(self.path).query)
        assert query["service"] == ["local"]
        assert query["scope"][0].endswith(":pull")
        user = ":".join(self.registry.login or ())
        if user and self.headers.get("Authorization") != f"Basic {_encoded(user)}":
            self._answer(401)
        else:
            self._answer(200, json.dumps({"token": _TOKEN}).encode())

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def pull_secret(host: str, user: str, password: str) -> dict[str, str]:
    """Write the data of a pull secret, as Kubernetes has it."""
    auths = {host: {"auth": _encoded(f"{user}:{password}")}}
    return {".dockerconfigjson": _encoded(json.dumps({"auths": auths}))}


@contextmanager
def local_registry() -> Iterator[LocalRegistry]:
    """Run a local registry, which is empty.

    Yields:
        The running server.
    """
    registry = LocalRegistry()
    try:
        yield registry
    finally:
        registry.close()


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
