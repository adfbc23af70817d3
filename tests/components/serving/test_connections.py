"""Clients that take their time, or send more than is wanted: over real connections."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator

import pytest

from tests.components.serving.conftest import STAND_IN, RunningServer, running_server

_MIB = 1024 * 1024


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that waits for half a second, and keeps idle connections."""
    settings = {"head_timeout_seconds": 0.5, "body_timeout_seconds": 0.5}
    log = tmp_path_factory.mktemp("impatient") / "log"
    with running_server(STAND_IN, log, max_body_bytes=_MIB, model="none", **settings) as server:
        server.wait_until_ready()
        yield server


def connect(server: RunningServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def request(body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (size, body)


def answer_text(connection: socket.socket) -> bytes:
    """Reads one answer of a connection that is kept."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    assert response.status == 200
    return response.read()


def read_all(connection: socket.socket) -> bytes:
    """Reads until the server closes the connection."""
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


@pytest.mark.parametrize("sent", [b"", b"POST /predict HTTP/1.1\r\n", b"G"])
def test_a_head_that_does_not_come_ends_the_connection(
    impatient: RunningServer, sent: bytes
) -> None:
    with connect(impatient) as connection:
        connection.sendall(sent)
        assert read_all(connection) == b""


def test_a_head_that_drips_ends_the_connection(impatient: RunningServer) -> None:
    with connect(impatient) as connection, pytest.raises(OSError, match="reset|[Bb]roken"):
        for _ in range(1000):
            connection.sendall(b"A")
            time.sleep(0.01)


def test_the_next_head_on_a_connection_that_is_kept(impatient: RunningServer) -> None:
    with connect(impatient) as connection:
        connection.sendall(request(b'{"text": "first"}'))
        assert answer_text(connection) == b"first"
        time.sleep(0.7)  # kept, though longer than a head may take
        connection.sendall(request(b'{"text": "second"}'))
        assert answer_text(connection) == b"second"
        connection.sendall(b"POST")
        assert read_all(connection) == b""


def test_an_answer_may_take_longer_than_its_request(impatient: RunningServer) -> None:
    with connect(impatient) as connection:
        connection.sendall(request(b'{"seconds": 0.7, "text": "late"}'))
        assert answer_text(connection) == b"late"


def test_a_body_that_drips_is_answered_408(impatient: RunningServer) -> None:
    with connect(impatient) as connection:
        connection.sendall(request(b"{", length=50))
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in answer
    assert impatient.health[0] == 200


def test_a_head_that_is_too_long(impatient: RunningServer) -> None:
    with connect(impatient) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nX: " + b"x" * 20_000)
        assert read_all(connection).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_long_is_answered_though_all_of_it_is_sent(
    impatient: RunningServer, chunked: bool
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", impatient.port, timeout=20)
    body = [b"x" * 65536] * 320
    connection.request(
        "POST",
        "/predict",
        iter(body) if chunked else b"".join(body),
        {} if chunked else {"Content-Length": str(20 * _MIB)},
        encode_chunked=chunked,
    )
    response = connection.getresponse()
    assert response.status == 413
    assert "1,048,576 bytes" in json.load(response)["error"]["message"]
    # The connection is as good as new.
    connection.request("POST", "/predict", b'{"text": "next"}')
    assert connection.getresponse().read() == b"next"


def test_a_body_without_end_ends_the_connection(impatient: RunningServer) -> None:
    with connect(impatient) as connection:
        connection.sendall(request(b"", length=100 * _MIB * _MIB))
        with pytest.raises(OSError, match="reset|[Bb]roken"):
            while True:
                connection.sendall(b"x" * 65536)


def test_what_is_no_http_harms_nobody(impatient: RunningServer) -> None:
    for nonsense in (
        b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/99\r\n\r\n",
        b"\r\n\r\n\r\n",
        b"\0" * 99,
    ):
        with connect(impatient) as connection:
            connection.sendall(nonsense)
            answer = read_all(connection)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 400")
    assert impatient.health[0] == 200
