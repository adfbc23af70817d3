"""The application while its model is loaded, when it answers, and when it is broken."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from kfp_llm_tuning.components.serving.app import create_app
from kfp_llm_tuning.components.serving.settings import ServerSettings
from tests.components.serving.stand_in import StandInModel, stand_in_routes


@pytest.fixture(autouse=True)
def _stand_in() -> Iterator[None]:
    with stand_in_routes():
        yield


def in_running(app: FastAPI, check: Callable[[httpx.AsyncClient], Any]) -> None:
    async def run() -> None:
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://server") as client,
        ):
            await check(client)

    asyncio.run(run())


async def until_status(client: httpx.AsyncClient, status: str) -> httpx.Response:
    while True:
        response = await client.get("/health")
        if response.json() == {"status": status}:
            return response
        await asyncio.sleep(0.01)


def test_it_is_unhealthy_and_refuses_until_the_model_answers() -> None:
    loaded = threading.Event()
    model: Any = StandInModel()

    def load() -> Any:
        loaded.wait()
        return model

    app = create_app(ServerSettings(model="/models/intents"), load)

    async def check(client: httpx.AsyncClient) -> None:
        assert (await client.get("/health")).status_code == 503
        assert (await client.get("/health")).json() == {"status": "loading"}
        refused = await client.post("/predict", json={"text": "a"})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert (await client.get("/metrics")).status_code == 200
        loaded.set()
        assert (await until_status(client, "ok")).status_code == 200
        assert (await client.post("/predict", json={"text": "a"})).text == "a"
        assert model.engine.alive

    in_running(app, check)
    assert not model.engine.alive  # closed with the application


def test_it_is_unhealthy_when_the_engine_has_died() -> None:
    model: Any = StandInModel()
    app = create_app(ServerSettings(model="/models/intents"), lambda: model)

    async def check(client: httpx.AsyncClient) -> None:
        await until_status(client, "ok")
        model.engine.alive = False
        response = await client.get("/health")
        assert (response.status_code, response.json()) == (503, {"status": "dead"})

    in_running(app, check)


def test_why_the_model_could_not_be_loaded_is_told() -> None:
    told: list[Exception] = []
    heard = threading.Event()

    def load() -> Any:
        raise ValueError("broken")

    def on_failure(error: Exception) -> None:
        told.append(error)
        heard.set()

    app = create_app(ServerSettings(model="/models/intents"), load, on_failure)

    async def check(client: httpx.AsyncClient) -> None:
        await asyncio.to_thread(heard.wait)
        assert (await client.get("/health")).json() == {"status": "loading"}

    in_running(app, check)
    assert [str(error) for error in told] == ["broken"]


@pytest.mark.parametrize(
    ("model", "name", "expected"),
    [
        ("/models/intents", "", "intents"),
        ("gs://bucket/intents/", "", "intents"),
        ("/models/intents", "other", "other"),
    ],
)
def test_what_clients_call_the_model(model: str, name: str, expected: str) -> None:
    app = create_app(ServerSettings(model=model, model_name=name), StandInModel)
    assert app.state.service.name == expected


def test_routes_are_where_the_platform_wants_them() -> None:
    settings = ServerSettings(model="/m", health_route="/alive", predict_route="/v1/endpoints/1:p")

    async def check(client: httpx.AsyncClient) -> None:
        while (await client.get("/alive")).status_code != 200:
            await asyncio.sleep(0.01)
        assert (await client.post("/v1/endpoints/1:p", json={"text": "a"})).text == "a"
        assert (await client.get("/health")).status_code == 404

    in_running(create_app(settings, StandInModel), check)
