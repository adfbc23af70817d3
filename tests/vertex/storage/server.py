"""The HTTP server of the local Cloud Storage."""

from __future__ import annotations

import socket
import sys
import threading
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

from tests.vertex.faults import ConnectionDropped, FaultError, Faults
from tests.vertex.storage.folder import FolderStorage
from tests.vertex.storage.handlers import answer, method_name
from tests.vertex.storage.messages import Request, Response

_STATUS_OF_FAULT = {
    "unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "internal": HTTPStatus.INTERNAL_SERVER_ERROR,
    "quota": HTTPStatus.TOO_MANY_REQUESTS,
    "permission": HTTPStatus.FORBIDDEN,
}


class StorageServer:
    """Serves a folder as Cloud Storage until it is closed.

    Attributes:
        storage: The buckets.
        url: For STORAGE_EMULATOR_HOST.
    """

    def __init__(self, root: Path, faults: Faults | None = None) -> None:
        """Starts the server on a free port of 127.0.0.1.

        Args:
            root: ``root/BUCKET/OBJECT`` are plain files.
            faults: Strike at calls such as ``storage.objects.insert``.
        """
        self.storage = FolderStorage(root)
        handler = partial(_Handler, self.storage, faults or Faults())
        self._server = _Server(("127.0.0.1", 0), handler)
        self.url = self.storage.base_url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def create_bucket(self, name: str, location: str = "us-central1") -> Path:
        """Makes a bucket.

        Args:
            name: Its name.
            location: Its region.

        Returns:
            The folder of its objects.
        """
        resource = self.storage.create_bucket(name, self.storage.bucket_resource(name))
        resource |= {"location": location.upper(), "locationType": "region"}
        return self.storage.root / name

    def close(self) -> None:
        """Stops the server."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> StorageServer:
        """Returns itself, running."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stops the server."""
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Lets clients go who close the connection before they have read the answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body go out in two writes: Nagle's algorithm would hold the second back for 40 ms.
    disable_nagle_algorithm = True

    def __init__(self, storage: FolderStorage, faults: Faults, *arguments: object) -> None:
        self._storage = storage
        self._faults = faults
        super().__init__(*arguments)  # type: ignore[arg-type]

    def _serve(self) -> None:
        host = self.headers.get("Host", "127.0.0.1")
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, self._body(), f"http://{host}")
        try:
            response = self._faults.call(
                method_name(request), lambda: answer(request, self._storage)
            )
        except ConnectionDropped:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        except FaultError as fault:
            response = Response()
            response.error(_STATUS_OF_FAULT[fault.kind], str(fault), "backendError")
        self._send(response)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            chunks = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send(self, response: Response) -> None:
        self.send_response(int(response.status))
        for name, value in response.headers.items():
            self.send_header(name, value)
        if response.status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(response.content)))
        self.end_headers()
        self.wfile.write(response.content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Logs nothing: the tests look at the storage itself."""
