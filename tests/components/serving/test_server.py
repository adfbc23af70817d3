"""The server's life in a process of its own: loading, full, draining, told to end under load."""

from __future__ import annotations

import http.client
import json
import random
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.components.serving.conftest import STAND_IN, RunningServer, StartServer


def ask(server: RunningServer, **asked: object) -> tuple[int, str, http.client.HTTPMessage]:
    """Sends one request on a connection of its own."""
    request = urllib.request.Request(f"{server.url}/predict", json.dumps(asked).encode())
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read().decode(), response.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), error.headers


def refuses_connections(server: RunningServer) -> bool:
    try:
        socket.create_connection(("127.0.0.1", server.port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


class Client(threading.Thread):
    """Asks until it is refused a connection.

    Attributes:
        outcomes: Of every request that was sent on an open connection, and how it ended.
    """

    def __init__(self, server: RunningServer, seed: int, keep: bool) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._random = random.Random(seed)
        self._keep = keep
        self.outcomes: Counter[str] = Counter()

    def run(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while True:
            try:
                connection = connection or self._connected()
            except ConnectionRefusedError:
                self.outcomes["refused"] += 1
                return
            closes = self._outcome(connection)
            if closes:
                connection.close()
                connection = None
            if self._random.random() < 0.3:
                time.sleep(self._random.uniform(0, 0.05))

    def _connected(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=60)
        connection.connect()
        return connection

    def _outcome(self, connection: http.client.HTTPConnection) -> bool:
        """Asks once; tells whether the connection is over."""
        text = "x" * self._random.randrange(5000)
        asked = {"text": text, "seconds": self._random.choice([0, 0, 0.02, 0.3])}
        try:
            connection.request("POST", "/predict", json.dumps(asked))
            response = connection.getresponse()
            whole = response.read().decode() == text
        except (OSError, http.client.HTTPException) as error:
            self.outcomes[repr(error)] += 1
            return True
        self.outcomes["answered" if response.status == 200 and whole else "wrong"] += 1
        return response.will_close or not self._keep


@contextmanager
def clients(server: RunningServer, count: int) -> Iterator[Counter[str]]:
    """Has clients ask for as long as the block runs and the server lets them; counts outcomes."""
    outcomes: Counter[str] = Counter()
    threads = [Client(server, seed, keep=seed % 2 == 0) for seed in range(count)]
    for thread in threads:
        thread.start()
    yield outcomes
    for thread in threads:
        thread.join(60)
        outcomes.update(thread.outcomes)


@pytest.mark.parametrize("drain_seconds", [0, 0.5])
def test_told_to_end_under_load_no_request_is_lost(
    start_server: StartServer, drain_seconds: float
) -> None:
    server = start_server(module=STAND_IN, drain_seconds=drain_seconds)
    with clients(server, 16) as outcomes:
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        assert server.wait_for_end() == 0
    assert set(outcomes) == {"answered", "refused"}
    assert outcomes["refused"] == 16
    assert outcomes["answered"] >= 32
    told = [line["status"] for line in server.lines if "status" in line]
    assert told == [200] * outcomes["answered"]


def test_it_drains_and_then_finishes_what_came_in(start_server: StartServer) -> None:
    server = start_server(module=STAND_IN, drain_seconds=1)
    with ThreadPoolExecutor() as pool:
        long = pool.submit(ask, server, text="long", seconds=3)
        half = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        half.sendall(b"POST /predict HTTP/1.1\r\nContent-Le")
        late = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        late.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 16\r\n\r\n{")
        stream = pool.submit(urllib.request.urlopen, f"{server.url}/stream?seconds=1")
        time.sleep(0.1)
        server.process.send_signal(signal.SIGTERM)
        while server.health != (503, {"status": "draining"}):
            time.sleep(0.01)
        status, text, headers = ask(server, text="let in")
        assert (status, text, headers["connection"]) == (200, "let in", "close")
        while not refuses_connections(server):
            time.sleep(0.05)
        assert server.process.poll() is None
        half.sendall(b'ngth: 16\r\nHost: x\r\n\r\n{"text": "half"}')
        late.sendall(b'"text": "late"}')
        for connection, expected in ((half, b"half"), (late, b"late")):
            with connection, connection.makefile("rb") as answer:
                whole = answer.read()
            assert whole.startswith(b"HTTP/1.1 200")
            assert whole.endswith(expected)
        assert stream.result().read() == b"abc"
        assert long.result()[:2] == (200, "long")
    assert server.wait_for_end() == 0


def test_idle_connections_do_not_keep_it(start_server: StartServer) -> None:
    server = start_server(module=STAND_IN, drain_seconds=0)
    kept = http.client.HTTPConnection("127.0.0.1", server.port)
    kept.request("POST", "/predict", b"{}")
    kept.getresponse().read()
    with socket.create_connection(("127.0.0.1", server.port)):
        server.process.send_signal(signal.SIGINT)
        assert server.wait_for_end() == 0


def test_a_second_signal_ends_it_at_once(start_server: StartServer) -> None:
    server = start_server(module=STAND_IN, drain_seconds=60)
    server.process.send_signal(signal.SIGTERM)
    while server.health[1] != {"status": "draining"}:
        time.sleep(0.01)
    server.process.send_signal(signal.SIGTERM)
    assert server.wait_for_end() == 128 + signal.SIGTERM


def test_it_does_not_wait_for_ever(start_server: StartServer) -> None:
    server = start_server(module=STAND_IN, drain_seconds=0, finish_seconds=0)
    with ThreadPoolExecutor() as pool:
        endless = pool.submit(ask, server, seconds=600)
        while server.count("answers_under_way") == 0:
            time.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)
        assert server.wait_for_end() == 0
        assert endless.exception() is not None or endless.result()[0] == 500


def test_a_full_queue_is_told_with_the_time_to_come_again(start_server: StartServer) -> None:
    server = start_server(module=STAND_IN, max_queue=4)
    ask(server, seconds=0.2)
    with ThreadPoolExecutor(8) as pool:
        taken = [pool.submit(ask, server, text=str(n), seconds=1, count=2) for n in range(2)]
        while server.count("answers_under_way") < 4:
            time.sleep(0.01)
        status, body, headers = ask(server)
        assert status == 429
        assert json.loads(body)["error"]["status"] == "RESOURCE_EXHAUSTED"
        assert 1 <= int(headers["retry-after"]) <= 60
        assert server.health[0] == 200
        assert [answer.result()[:2] for answer in taken] == [(200, "0"), (200, "1")]
    assert ask(server, count=4)[0] == 200
    assert ask(server, count=5)[0] == 400


def test_counts_equal_what_was_sent(start_server: StartServer) -> None:
    server = start_server(module=STAND_IN, max_body_bytes=1000)
    texts = ["a" * size for size in (1, 10, 2000)] * 20
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda text: ask(server, text=text), texts))
    assert Counter(status for status, *_ in answers) == {200: 40, 413: 20}
    assert server.count("requests_total", route="/predict", status="200") == 40
    assert server.count("requests_total", route="/predict", status="413") == 20
    assert server.count("request_seconds_count", route="/predict") == 60
    lines = server.request_lines(60)
    assert Counter(line["status"] for line in lines) == {200: 40, 413: 20}
    ids = [headers["x-request-id"] for *_, headers in answers]
    assert sorted(line["request_id"] for line in lines) == sorted(ids)
    assert len(set(ids)) == 60


def test_streams_are_sent_as_they_are_made(start_server: StartServer) -> None:
    server = start_server(module=STAND_IN)
    with urllib.request.urlopen(f"{server.url}/held") as response:
        assert response.read(1) == b"a"
        ask(server)
        assert response.read() == b"b"


def test_told_to_end_while_the_model_is_loaded(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_LOADING", "hangs")
    server = start_server(module=STAND_IN, ready=False, drain_seconds=60)
    assert server.health == (503, {"status": "loading"})
    status, _, headers = ask(server)
    assert (status, headers["retry-after"]) == (503, "5")
    server.process.send_signal(signal.SIGTERM)
    assert server.wait_for_end() == 0


@pytest.mark.parametrize(
    ("loading", "code", "told"),
    [
        ("fails", 1, "Error: there is no such model."),
        ("breaks", 13, "RuntimeError: out of memory"),
    ],
)
def test_a_model_that_cannot_be_loaded_ends_the_process(
    start_server: StartServer,
    monkeypatch: pytest.MonkeyPatch,
    loading: str,
    code: int,
    told: str,
) -> None:
    monkeypatch.setenv("STAND_IN_LOADING", loading)
    server = start_server(module=STAND_IN, ready=False)
    assert server.wait_for_end() == code
    assert told in server.log
    assert ("Traceback" in server.log) is (code == 13)


def test_a_broken_engine_ends_the_process(start_server: StartServer) -> None:
    server = start_server(module=STAND_IN)
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(ask, server, text="slow", seconds=0.5)
        time.sleep(0.2)
        ask(server, breaks=True)
        assert slow.result()[:2] == (200, "slow")
    assert server.wait_for_end() == 13
    assert "The engine broke" in server.log
