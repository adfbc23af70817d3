"""A container for tests, of Python alone: ``python3 sample_container.py``.

It answers with the body that it was sent; or, where that or its first instance is an object with
``chunks``, with these one by one, with the ``status`` and ``type`` beside them. The variable SAMPLE
makes it ``end`` at its start, become healthy ``late``, or stay ``unhealthy``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMAND = ["python3", __file__]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    checks_left = {"late": 3, "unhealthy": sys.maxsize}.get(os.environ.get("SAMPLE", ""), 0)

    def do_GET(self) -> None:  # noqa: N802
        is_healthy = type(self).checks_left == 0 and self.path == os.environ["AIP_HEALTH_ROUTE"]
        type(self).checks_left = max(0, type(self).checks_left - 1)
        self._answer(200 if is_healthy else 503, "text/plain", ["ok" if is_healthy else "loading"])

    def do_POST(self) -> None:  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.path != os.environ["AIP_PREDICT_ROUTE"]:
            self._answer(404, "text/plain", [f"nothing at {self.path}"])
            return
        wanted = _wanted(body)
        kind = wanted.get("type", self.headers["Content-Type"])
        self._answer(int(wanted.get("status", 200)), kind, wanted.get("chunks", [body]))

    def _answer(self, status: int, kind: str, chunks: list[str]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for chunk in map(str.encode, chunks):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            # Each is a packet of its own.
            time.sleep(0.02)
        self.wfile.write(b"0\r\n\r\n")


def _wanted(body: str) -> dict[str, Any]:
    try:
        content = json.loads(body)
        wanted: dict[str, Any] = content.get("instances", [content])[0]
    except ValueError:
        return {}
    return wanted


if __name__ == "__main__":
    if os.environ.get("SAMPLE") == "end":
        sys.exit("The weights are broken.")
    port = int(os.environ["AIP_HTTP_PORT"])
    print("Listening.", dict(os.environ), flush=True)  # noqa: T201
    ThreadingHTTPServer(("127.0.0.1", port), _Handler).serve_forever()
