"""The server with stand-ins for the model and its routes: an answer takes as long as it is told.

Loading does what the variable STAND_IN_LOADING says: nothing, "fails", "breaks" or "hangs".
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any
from unittest import mock

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.serving import app
from kfp_llm_tuning.components.serving.service import Service


class StandInEngine:
    """Is there, and does nothing."""

    alive = True

    def close(self) -> None:
        self.alive = False


class StandInModel:
    def __init__(self) -> None:
        self.engine = StandInEngine()


def load() -> Any:
    match os.environ.get("STAND_IN_LOADING"):
        case "fails":
            raise UserError("there is no such model.")
        case "breaks":
            raise RuntimeError("out of memory")
        case "hangs":
            threading.Event().wait()
    return StandInModel()


def predict_router(service: Service) -> APIRouter:
    """Answers ``{"text", "seconds", "count"}`` with the text.

    ``/stream`` sends three letters, some seconds apart; ``/held`` goes on at the next prediction;
    ``{"breaks": true}`` is the last request that the engine lives to see.
    """
    router = APIRouter()
    released = asyncio.Event()

    async def predict(request: Request) -> Response:
        asked = await request.json()
        request.state.facts = {"instances": asked.get("count", 1)}
        if asked.get("breaks"):
            assert service.model is not None
            service.model.engine.close()
        async with service.admission.admitted(asked.get("count", 1)):
            await asyncio.sleep(asked.get("seconds", 0))
            released.set()
        return Response(asked.get("text", ""))

    async def stream(request: Request) -> Response:
        seconds = float(request.query_params["seconds"])

        async def parts() -> Any:
            for part in "abc":
                yield part
                await asyncio.sleep(seconds)

        return StreamingResponse(parts())

    async def held() -> Response:
        async def parts() -> Any:
            yield "a"
            await released.wait()
            yield "b"

        return StreamingResponse(parts())

    router.add_api_route(service.settings.predict_route, predict, methods=["POST"])
    router.add_api_route("/stream", stream)
    router.add_api_route("/held", held)
    return router


def stand_in_routes() -> Any:
    """Replaces the routes of both APIs in `create_app`."""
    return mock.patch.multiple(
        app,
        predict_api=mock.Mock(router=predict_router),
        openai_api=mock.Mock(router=lambda _: APIRouter()),
    )


if __name__ == "__main__":
    from kfp_llm_tuning.components.serving import __main__, model_loading

    with stand_in_routes(), mock.patch.object(model_loading, "load_model", lambda _: load()):
        __main__.main()
