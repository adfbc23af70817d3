"""Errors as the API server of Kubeflow Pipelines answers them."""

from __future__ import annotations

from enum import Enum
from http import HTTPStatus
from typing import Any


class Code(Enum):
    """The codes of gRPC that the server uses, and the status that its gateway makes of each."""

    INVALID_ARGUMENT = 3, HTTPStatus.BAD_REQUEST
    NOT_FOUND = 5, HTTPStatus.NOT_FOUND
    ALREADY_EXISTS = 6, HTTPStatus.CONFLICT
    PERMISSION_DENIED = 7, HTTPStatus.FORBIDDEN
    RESOURCE_EXHAUSTED = 8, HTTPStatus.TOO_MANY_REQUESTS
    UNIMPLEMENTED = 12, HTTPStatus.NOT_IMPLEMENTED
    INTERNAL = 13, HTTPStatus.INTERNAL_SERVER_ERROR
    UNAVAILABLE = 14, HTTPStatus.SERVICE_UNAVAILABLE
    UNAUTHENTICATED = 16, HTTPStatus.UNAUTHORIZED

    @property
    def number(self) -> int:
        """The code's number."""
        return self.value[0]

    @property
    def status(self) -> HTTPStatus:
        """The status of the HTTP answer."""
        return self.value[1]


_KINDS = {
    Code.INVALID_ARGUMENT: "Invalid input error",
    Code.NOT_FOUND: "ResourceNotFoundError",
    Code.ALREADY_EXISTS: "Already exist error",
    Code.INTERNAL: "InternalServerError",
}


class ApiError(Exception):
    """A call is answered by an error.

    Attributes:
        code: The code.
        message: What went wrong, without what it was wrapped in on its way.
        doing: What the server was about to do: each layer puts its own words in front.
    """

    def __init__(self, code: Code, message: str, doing: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.doing = doing

    @property
    def text(self) -> str:
        """The message as clients see it."""
        kind = _KINDS.get(self.code, self.code.name)
        return ": ".join(part for part in (self.doing, kind, self.message) if part)

    def body(self) -> dict[str, Any]:
        """The JSON of the HTTP answer: a google.rpc.Status within another."""
        number = self.code.number
        detail = {"@type": "type.googleapis.com/google.rpc.Status", "code": number}
        return {
            "code": number,
            "message": self.text,
            "details": [{**detail, "message": self.message}],
        }


class UploadError(ApiError):
    """An upload is answered by an error: it does not pass through the gateway."""

    def body(self) -> dict[str, Any]:
        """The JSON of the HTTP answer."""
        return {"error_message": self.message, "error_details": self.message}


def invalid(message: str, doing: str = "") -> ApiError:
    """The request is wrong: 400."""
    return ApiError(Code.INVALID_ARGUMENT, message, doing)


def not_found(kind: str, name: str) -> ApiError:
    """There is no such thing: 404."""
    return ApiError(Code.NOT_FOUND, f"{kind} {name} not found", f"Failed to get {kind} {name}")


def already_exists(message: str) -> ApiError:
    """The name is taken: 409."""
    return ApiError(Code.ALREADY_EXISTS, message)


def internal(message: str, doing: str = "") -> ApiError:
    """The server failed, or wraps a client's mistake in a failure of its own: 500."""
    return ApiError(Code.INTERNAL, message, doing)
