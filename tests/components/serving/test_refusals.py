"""Refusals in the words of the API that was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.responses import Response
from fastapi.testclient import TestClient
from starlette.requests import ClientDisconnect

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.serving import refusals
from kfp_llm_tuning.components.serving.refusals import Refusal, quoted
from tests.components.serving.scripted_server import ScriptedServer, scripted_server

ERRORS: dict[str, Exception] = {
    "mistakes": Refusal(400, Problem("is wrong.", "a.b"), Problem("is missing.", "c", "a text")),
    "mistake": Refusal(400, "The whole is wrong."),
    "full": Refusal(429, "Full.", retry_after=7),
    "late": Refusal(504, "Late."),
    "unknown": Refusal(404, Problem("no such model.", "model"), code="model_not_found"),
    "user": UserError(Problem("refuses that.", "template")),
    "left": ClientDisconnect(),
    "fault": RuntimeError("secret"),
}


class Broken(Response):
    """Fails when it has begun."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("secret")


@pytest.fixture(scope="module")
def client() -> TestClient:
    app = FastAPI()
    refusals.install(app)
    routes = APIRouter()

    async def fail(name: str) -> Response:
        raise ERRORS[name]

    async def fail_later() -> Response:
        return Broken()

    routes.add_api_route("/later", fail_later)
    routes.add_api_route("/{name}", fail)
    routes.add_api_route("/v1/{name}", fail)
    routes.add_api_route("/v1/endpoints/{name}", fail)
    app.include_router(routes)
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedServer]:
    with scripted_server(tmp_path_factory.mktemp("model")) as running:
        yield running


@pytest.mark.parametrize("prefix", ["", "/v1/endpoints"])
def test_mistakes_as_google_tells_them(client: TestClient, prefix: str) -> None:
    response = client.get(f"{prefix}/mistakes")
    assert response.status_code == 400
    violations = [
        {"field": "a.b", "description": "a.b: is wrong."},
        {"field": "c", "description": "c: is missing. Allowed: a text."},
    ]
    assert response.json() == {
        "error": {
            "code": 400,
            "message": "2 problems:\n  1. a.b: is wrong.\n  2. c: is missing. Allowed: a text.",
            "status": "INVALID_ARGUMENT",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.BadRequest",
                    "fieldViolations": violations,
                }
            ],
        }
    }
    assert "details" not in client.get(f"{prefix}/mistake").json()["error"]


def test_mistakes_as_openai_tells_them(client: TestClient) -> None:
    assert client.get("/v1/mistakes").json() == {
        "error": {
            "message": "2 problems:\n  1. a.b: is wrong.\n  2. c: is missing. Allowed: a text.",
            "type": "invalid_request_error",
            "param": "a.b",
            "code": None,
        }
    }
    assert client.get("/v1/mistake").json()["error"]["param"] is None


@pytest.mark.parametrize(
    ("name", "status", "google", "openai"),
    [
        ("full", 429, "RESOURCE_EXHAUSTED", "rate_limit_error"),
        ("late", 504, "DEADLINE_EXCEEDED", "server_error"),
        ("unknown", 404, "NOT_FOUND", "invalid_request_error"),
        ("user", 400, "INVALID_ARGUMENT", "invalid_request_error"),
        ("left", 499, "CANCELLED", "invalid_request_error"),
        ("fault", 500, "INTERNAL", "server_error"),
    ],
)
def test_each_kind_has_its_names(
    client: TestClient, name: str, status: int, google: str, openai: str
) -> None:
    ours, theirs = client.get(f"/{name}"), client.get(f"/v1/{name}")
    assert (ours.status_code, theirs.status_code) == (status, status)
    assert (ours.json()["error"]["code"], ours.json()["error"]["status"]) == (status, google)
    assert theirs.json()["error"]["type"] == openai
    assert "secret" not in ours.text + theirs.text
    assert ours.headers.get("retry-after") == ("7" if name == "full" else None)


def test_codes_are_openais(client: TestClient) -> None:
    assert client.get("/v1/unknown").json()["error"]["code"] == "model_not_found"


def test_what_fails_after_it_was_begun_is_not_answered_twice(client: TestClient) -> None:
    with pytest.raises(RuntimeError, match="secret"):
        TestClient(client.app).get("/later")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/v1/nowhere", 404),
        ("GET", "/v1", 404),
        ("POST", "/", 404),
        ("GET", "/predict", 405),
        ("PUT", "/v1/chat/completions", 405),
        ("DELETE", "/v1/models", 405),
        ("POST", "/health", 405),
        ("PATCH", "/metrics", 405),
    ],
)
def test_unknown_paths_and_methods(
    server: ScriptedServer, method: str, path: str, status: int
) -> None:
    response = server.client.request(method, path)
    assert response.status_code == status
    error = response.json()["error"]
    assert "POST /predict, GET /health, GET /metrics, POST /v1/chat" in error["message"]
    assert ("type" in error) == path.startswith("/v1/")
    assert (status == 405) == ("allow" in response.headers)


def test_long_words_are_cut_where_they_are_repeated() -> None:
    assert quoted("x" * 1000) == repr("x" * 100 + "...")
    assert quoted("a\n\x00b") == r"'a\n\x00b'"


def test_other_protocols_are_left_alone() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("not http")

    with pytest.raises(RuntimeError, match="not http"):
        asyncio.run(refusals._Unexpected(app)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
