"""Every malformed request is refused with a reason, and nobody else notices.

While they come in, another client asks well-formed questions, whose answers must stay the same to
the byte.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.components.serving.conftest import RunningServer
from tests.components.serving.malformed_requests import Case, cases

CASES = cases()


class Neighbour(threading.Thread):
    """A client that asks the same over and over.

    Attributes:
        answers: What each of its questions was answered, every time.
    """

    QUESTIONS = (
        {"instances": [{"content": "Hello"}], "parameters": {"maxOutputTokens": 8}},
        {
            "instances": [{"messages": [{"author": "user", "content": "Zürich 😀"}]}],
            "parameters": {"maxOutputTokens": 8, "temperature": 1, "seed": 7, "logprobs": 2},
        },
    )

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.answers: tuple[list[bytes], ...] = tuple([] for _ in self.QUESTIONS)
        self._url = f"{url}/predict"
        self._enough = threading.Event()

    def run(self) -> None:
        while not (self._enough.is_set() and len(self.answers[0]) > 1):
            for question, answers in zip(self.QUESTIONS, self.answers, strict=True):
                request = urllib.request.Request(self._url, json.dumps(question).encode())
                with urllib.request.urlopen(request, timeout=60) as response:
                    answers.append(response.read())

    def stop(self) -> None:
        self._enough.set()
        self.join()


@pytest.fixture(scope="module")
def neighbour(server: RunningServer) -> Iterator[Neighbour]:
    """Asks for as long as the tests run, and has noticed nothing in the end."""
    asking = Neighbour(server.url)
    asking.start()
    yield asking
    asking.stop()
    assert [len(set(answers)) for answers in asking.answers] == [1, 1]
    assert server.process.poll() is None
    assert server.health == (200, {"status": "ok"})
    assert "Traceback" not in server.log


def answer(case: Case, port: int) -> tuple[int, str]:
    """Sends a request, and gives the status and the reason."""
    if case.raw:
        return raw_answer(case.raw, port)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.putrequest(case.method, case.path, skip_accept_encoding=True)
        for name, value in {**case.headers, "Content-Length": str(len(case.body))}.items():
            connection.putheader(name, value)
        # The server may have said enough before all was sent.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.endheaders(case.body)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def raw_answer(raw: bytes, port: int) -> tuple[int, str]:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(raw)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response.status, response.read().decode()


def reason(case: Case, body: str) -> str:
    """Gives the reason, which both APIs tell in shapes of their own."""
    if case.told == "Invalid HTTP request":
        return body
    error: dict[str, Any] = json.loads(body)["error"]
    if case.path.startswith("/v1/") and not case.raw:
        assert set(error) == {"message", "type", "param", "code"}
        assert error["type"] == "invalid_request_error"
    elif not case.raw:
        assert error["code"] == case.status
        assert set(error) - {"details"} == {"code", "message", "status"}
    message: str = error["message"]
    return message


def test_there_are_many_kinds() -> None:
    assert len(CASES) >= 200
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_refused_with_the_reason(
    server: RunningServer, neighbour: Neighbour, case: Case
) -> None:
    status, body = answer(case, server.port)
    told = reason(case, body)
    assert (status, case.told in told) == (case.status, True), f"{status}: {told[:1000]}"
    # What a client sent is not sent back to it at length.
    assert len(body) < 20_000
