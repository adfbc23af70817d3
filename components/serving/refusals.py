"""Requests that are not answered: why, told in the words of the API that was asked.

The predict route tells it as Google's APIs do, the routes under /v1 as OpenAI's.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from kfp_llm_tuning.components.common.errors import Problem, UserError, format_problems
from kfp_llm_tuning.components.serving.settings import METRICS_ROUTE, OPENAI_PREFIX

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# nginx's status for a client that left; nobody reads it but the log.
CLIENT_LEFT = 499
# As much of a request's own words as a message repeats.
_QUOTED = 100
# More mistakes than these nobody reads, and looking for them would keep other requests waiting.
MOST_PROBLEMS = 20

# Names of google.rpc.Code; other client errors are INVALID_ARGUMENT, other server errors INTERNAL.
_GOOGLE_STATUS = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    429: "RESOURCE_EXHAUSTED",
    CLIENT_LEFT: "CANCELLED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_OPENAI_ROUTES = (
    "POST /v1/chat/completions, POST /v1/completions, GET /v1/models, GET /v1/models/MODEL"
)
_OPENAI_TYPE = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}

_log = logging.getLogger(__name__)


class Refusal(Exception):
    """A request is not answered.

    Attributes:
        status: HTTP status.
        problems: The reasons, in the order found: the first ``MOST_PROBLEMS``.
        retry_after: Seconds after which the client may try again; None where it should not.
        code: OpenAI's word for the reason, such as "model_not_found".
    """

    def __init__(
        self,
        status: int,
        *problems: Problem | str,
        retry_after: int | None = None,
        code: str | None = None,
    ) -> None:
        """Keeps the reasons; a plain string is a problem that says only what is wrong."""
        self.problems = UserError(*problems[:MOST_PROBLEMS]).problems
        self.status = status
        self.retry_after = retry_after
        self.code = code
        super().__init__(format_problems(self.problems))


def refusal_response(refusal: Refusal, scope: Scope) -> JSONResponse:
    """Writes a refusal in the shape that the client understands.

    Args:
        refusal: The reasons.
        scope: The request's ASGI scope.

    Returns:
        The response.
    """
    body = _openai_body(refusal) if _speaks_openai(scope) else _google_body(refusal)
    headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
    return JSONResponse(body, refusal.status, headers)


def refusal_body(refusal: Refusal, scope: Scope) -> dict[str, Any]:
    """Gives the body of `refusal_response`, for a stream that has begun already."""
    return _openai_body(refusal) if _speaks_openai(scope) else _google_body(refusal)


def speak_openai(request: Request) -> None:
    """Has refusals of a request told in OpenAI's shape, whatever its path."""
    request.state.speaks_openai = True


def internal_error(scope: Scope) -> Refusal:
    """Makes the refusal for a fault of ours, and logs the exception being handled.

    Args:
        scope: The request's ASGI scope.

    Returns:
        A refusal that tells nothing but the request's id, by which the log is found.
    """
    request_id = scope.get("state", {}).get("request_id", "")
    _log.exception("The request failed.", extra={"request_id": request_id})
    found_by = f" The server's log tells more: request {request_id}." if request_id else ""
    return Refusal(500, f"Internal error.{found_by}")


def install(app: FastAPI) -> None:
    """Has an application answer every error with a refusal.

    Call it before other middleware is added: those then see a response where a route failed.

    Args:
        app: The application.
    """

    async def refuse(request: Request, error: Exception) -> Response:
        return refusal_response(_as_refusal(request, error), request.scope)

    async def refuse_http(request: Request, error: Exception) -> Response:
        response = await refuse(request, error)
        response.headers.update(getattr(error, "headers", None) or {})
        return response

    for kind in (Refusal, UserError, ClientDisconnect):
        app.add_exception_handler(kind, refuse)
    app.add_exception_handler(HTTPException, refuse_http)
    app.add_middleware(_Unexpected)


class _Unexpected:
    """Answers 500 where the application fails before it has begun to answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def note_and_send(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, note_and_send)
        except Exception:
            if begun or scope["type"] != "http":
                raise
            await refusal_response(internal_error(scope), scope)(scope, receive, send)


def quoted(text: str) -> str:
    """Repeats a client's words in a message, cut where they are long."""
    return repr(text if len(text) <= _QUOTED else text[:_QUOTED] + "...")


def _as_refusal(request: Request, error: Exception) -> Refusal:
    if isinstance(error, Refusal):
        return error
    if isinstance(error, UserError):
        return Refusal(400, *error.problems)
    if isinstance(error, ClientDisconnect):
        return Refusal(CLIENT_LEFT, "The client left before its request was whole.")
    assert isinstance(error, HTTPException)
    path = quoted(request.url.path)
    if error.status_code == 404:
        return Refusal(404, Problem(f"There is nothing at {path}.", allowed=_served(request)))
    if error.status_code == 405:
        what = f"The path {path} does not answer {quoted(request.method)}."
        return Refusal(405, Problem(what, allowed=_served(request)))
    return Refusal(error.status_code, str(error.detail))


def _served(request: Request) -> str:
    settings = request.app.state.service.settings
    own = f"POST {settings.predict_route}, GET {settings.health_route}, GET {METRICS_ROUTE}"
    return f"{own}, {_OPENAI_ROUTES}"


def _speaks_openai(scope: Scope) -> bool:
    stated: bool | None = scope.get("state", {}).get("speaks_openai")
    if stated is not None:
        return stated
    path = scope["path"]
    # Vertex AI's own default of the predict route begins with /v1/endpoints/.
    return path.startswith(OPENAI_PREFIX) and not path.startswith(f"{OPENAI_PREFIX}endpoints/")


def _google_body(refusal: Refusal) -> dict[str, Any]:
    fallback = "INTERNAL" if refusal.status >= 500 else "INVALID_ARGUMENT"
    error: dict[str, Any] = {
        "code": refusal.status,
        "message": str(refusal),
        "status": _GOOGLE_STATUS.get(refusal.status, fallback),
    }
    violations = [
        {"field": problem.where, "description": str(problem)}
        for problem in refusal.problems
        if problem.where
    ]
    if violations:
        kind = "type.googleapis.com/google.rpc.BadRequest"
        error["details"] = [{"@type": kind, "fieldViolations": violations}]
    return {"error": error}


def _openai_body(refusal: Refusal) -> dict[str, Any]:
    is_ours = refusal.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    fallback = "server_error" if is_ours else "invalid_request_error"
    return {
        "error": {
            "message": str(refusal),
            "type": _OPENAI_TYPE.get(refusal.status, fallback),
            "param": next((p.where for p in refusal.problems if p.where), None),
            "code": refusal.code,
        }
    }
