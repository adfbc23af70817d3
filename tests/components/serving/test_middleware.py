"""What happens around every request, in an application of a few lines."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response

from kfp_llm_tuning.components.serving import refusals
from kfp_llm_tuning.components.serving.admission import Admission, State
from kfp_llm_tuning.components.serving.metrics import Metrics
from kfp_llm_tuning.components.serving.middleware import BodyLimits, RequestLog
from kfp_llm_tuning.components.serving.service import Service
from kfp_llm_tuning.components.serving.settings import ServerSettings

_SETTINGS = ServerSettings(max_body_bytes=100, body_timeout_seconds=0.2)


@pytest.fixture
def service() -> Service:
    admission = Admission(4)
    admission.state = State.OK
    return Service(_SETTINGS, admission, Metrics("intents", admission), "intents")


@pytest.fixture
def app(service: Service) -> FastAPI:
    """Echoes on /predict, is well on /health, breaks on /broken."""
    app = FastAPI(openapi_url=None)
    app.state.service = service

    async def echo(request: Request) -> Response:
        body = await request.body()
        request.state.facts["tokens"] = len(body)
        return Response(body)

    async def health() -> Response:
        return Response("", 200 if service.admission.state is State.OK else 503)

    async def broken() -> Response:
        raise ValueError("broken")

    app.add_api_route("/predict", echo, methods=["POST"])
    app.add_api_route("/health", health)
    app.add_api_route("/broken", broken)
    refusals.install(app)
    app.add_middleware(BodyLimits, settings=service.settings)
    app.add_middleware(RequestLog, service=service)
    return app


def call(app: FastAPI, method: str, path: str, **content: Any) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return await client.request(method, path, **content)

    return asyncio.run(send())


def facts(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """Gives what the one line about a request says."""
    (record,) = (record for record in caplog.records if record.name == "kfp_llm_tuning.requests")
    names = ("request_id", "method", "route", "status", "seconds", "tokens")
    return {name: vars(record)[name] for name in names if hasattr(record, name)}


@pytest.fixture(autouse=True)
def _all_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "kfp_llm_tuning")


def test_one_line_a_request_with_the_facts_of_its_route(
    app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"X-Request-Id": "client-1", "Authorization": "Bearer secret"}
    response = call(app, "POST", "/predict?key=secret", content=b"secret", headers=headers)
    assert response.content == b"secret"
    assert response.headers["x-request-id"] == "client-1"
    told = facts(caplog)
    assert told.pop("seconds") >= 0
    assert told == {
        "request_id": "client-1",
        "method": "POST",
        "route": "/predict",
        "status": 200,
        "tokens": 6,
    }
    assert "secret" not in json.dumps([vars(record) for record in caplog.records], default=str)


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, 'a"b', "a\tb", "é"])
def test_an_id_that_is_not_sane_is_replaced(app: FastAPI, given: str) -> None:
    response = call(app, "POST", "/predict", headers={"X-Request-Id": given.encode()})
    made = response.headers["x-request-id"]
    assert made != given
    assert len(made) == 32


def test_probes_are_counted_and_not_logged(
    app: FastAPI, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    call(app, "GET", "/health")
    service.admission.state = State.DRAINING
    call(app, "GET", "/health")
    assert not [record for record in caplog.records if record.name == "kfp_llm_tuning.requests"]
    for status in (b"200", b"503"):
        assert b'route="/health",status="%s"} 1.0' % status in service.metrics.page()
    call(app, "POST", "/health")
    assert facts(caplog)["status"] == 405


def test_unknown_paths_are_one_label(
    app: FastAPI, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(50):
        call(app, "GET", f"/path-{number}")
    page = service.metrics.page().decode()
    assert 'kfp_llm_tuning_requests_total{model="intents",route="other",status="404"} 50.0' in page
    assert "path-" not in page


def test_a_fault_is_answered_logged_and_counted(
    app: FastAPI, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    response = call(app, "GET", "/broken")
    assert response.status_code == 500
    assert response.headers["x-request-id"] in response.json()["error"]["message"]
    assert facts(caplog)["status"] == 500
    assert b'route="/broken",status="500"} 1.0' in service.metrics.page()


async def parts(count: int, pause: float = 0.0) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * 30
        await asyncio.sleep(pause)


def test_body_of_the_longest_length(app: FastAPI) -> None:
    assert call(app, "POST", "/predict", content=b"x" * 100).content == b"x" * 100
    assert call(app, "POST", "/predict", content=parts(3)).content == b"x" * 90


def test_body_that_says_it_is_too_long_is_not_read(app: FastAPI) -> None:
    async def unread() -> AsyncIterator[bytes]:
        raise AssertionError("was read")
        yield b""

    headers = {"Content-Length": "101"}
    response = call(app, "POST", "/predict", content=unread(), headers=headers)
    assert response.status_code == 413
    assert "100 bytes" in response.json()["error"]["message"]


def test_body_that_turns_out_too_long_is_read_no_further(app: FastAPI) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 30

    assert call(app, "POST", "/predict", content=endless()).status_code == 413
    assert sent == 4


def test_body_that_comes_too_slowly(app: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    response = call(app, "POST", "/predict", content=parts(3, pause=0.15))
    assert response.status_code == 408
    assert "0.2 seconds" in response.json()["error"]["message"]
    assert response.headers["connection"] == "close"
    assert facts(caplog)["status"] == 408


def test_a_draining_server_ends_connections(app: FastAPI, service: Service) -> None:
    assert "connection" not in call(app, "POST", "/predict").headers
    service.admission.state = State.DRAINING
    assert call(app, "POST", "/predict", content=b"x").headers["connection"] == "close"
    assert call(app, "GET", "/health").headers["connection"] == "close"
    # Its body is still coming in: the connection is closed after that.
    refused = call(app, "POST", "/predict", content=b"x" * 101)
    assert (refused.status_code, "connection" in refused.headers) == (413, False)


def test_a_client_that_left_is_no_fault(
    app: FastAPI, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    async def left() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None:
        pass

    headers = [(b"content-length", b"5")]
    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": headers}
    scope |= {"query_string": b"", "root_path": "", "http_version": "1.1"}
    asyncio.run(app(scope, left, send))
    assert facts(caplog)["status"] == 499
    assert b'route="/predict",status="499"} 1.0' in service.metrics.page()
