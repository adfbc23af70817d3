"""The web application: answers at once, while the model is still being loaded."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from kfp_llm_tuning.components.serving import openai_api, predict_api, refusals
from kfp_llm_tuning.components.serving.admission import Admission, State
from kfp_llm_tuning.components.serving.metrics import Metrics
from kfp_llm_tuning.components.serving.middleware import BodyLimits, RequestLog
from kfp_llm_tuning.components.serving.service import Service
from kfp_llm_tuning.components.serving.settings import METRICS_ROUTE

if TYPE_CHECKING:
    from kfp_llm_tuning.components.generation.tuned_model import TunedModel
    from kfp_llm_tuning.components.serving.settings import ServerSettings

_DEAD = "dead"

_logger = logging.getLogger(__name__)


def create_app(
    settings: ServerSettings,
    load: Callable[[], TunedModel],
    on_failure: Callable[[Exception], None] = lambda _: None,
) -> FastAPI:
    """Makes the application; loading begins when it is started.

    Args:
        settings: How the model is served.
        load: Loads the model, and has it answer once; runs in a thread of its own.
        on_failure: Hears, in that thread, why the model could not be loaded.

    Returns:
        The application; ``state.service`` is what its routes work with.
    """
    admission = Admission(settings.max_queue)
    name = settings.model_name or settings.model.rstrip("/").rpartition("/")[2]
    service = Service(settings, admission, Metrics(name, admission), name)

    def load_and_open() -> None:
        try:
            service.model = load()
        except Exception as error:
            on_failure(error)
        else:
            admission.state = State.OK

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # A daemon: a server that is told to end does not wait for the model.
        threading.Thread(target=load_and_open, name="loading", daemon=True).start()
        yield
        if service.model is not None:
            service.model.engine.close()

    # A redirect would go to whatever host the client names.
    app = FastAPI(lifespan=lifespan, openapi_url=None, redirect_slashes=False)
    app.state.service = service
    refusals.install(app)
    app.add_middleware(BodyLimits, settings=settings)
    app.add_middleware(RequestLog, service=service)
    for router in (_operations(service), predict_api.router(service), openai_api.router(service)):
        app.include_router(router)
    return app


def _operations(service: Service) -> APIRouter:
    """Makes the routes for those who run the server."""
    router = APIRouter()

    async def health() -> Response:
        status = _status(service)
        return JSONResponse({"status": status}, 200 if status == State.OK else 503)

    async def metrics() -> Response:
        return Response(service.metrics.page(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    router.add_api_route(service.settings.health_route, health, methods=["GET", "HEAD"])
    router.add_api_route(METRICS_ROUTE, metrics)
    return router


def _status(service: Service) -> str:
    state = service.admission.state
    if state is State.OK and service.is_broken:
        return _DEAD
    return state
