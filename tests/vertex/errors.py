"""Errors as Google's APIs answer them, over REST and gRPC."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import grpc

_HTTP_STATUS: dict[grpc.StatusCode, HTTPStatus] = {
    grpc.StatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.FAILED_PRECONDITION: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.OUT_OF_RANGE: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    grpc.StatusCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    grpc.StatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    grpc.StatusCode.ABORTED: HTTPStatus.CONFLICT,
    grpc.StatusCode.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    grpc.StatusCode.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
    grpc.StatusCode.UNIMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
    grpc.StatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
}


class ApiError(Exception):
    """A call is answered by an error.

    Attributes:
        code: The gRPC status.
        message: The text for the client.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def http_status(self) -> HTTPStatus:
        """The status of the HTTP answer."""
        return _HTTP_STATUS[self.code]

    def body(self) -> dict[str, Any]:
        """The JSON of the HTTP answer."""
        return {
            "error": {
                "code": int(self.http_status),
                "message": self.message,
                "status": self.code.name,
            }
        }


def invalid(message: str) -> ApiError:
    """The request is wrong: 400 INVALID_ARGUMENT."""
    return ApiError(grpc.StatusCode.INVALID_ARGUMENT, message)


def field_error(field: str, message: str) -> ApiError:
    """A field of a job is wrong, in the words of Vertex AI: 400 INVALID_ARGUMENT."""
    return invalid(f"List of found errors:\t1.Field: {field}; Message: {message}\t")


def failed_precondition(message: str) -> ApiError:
    """The state of a resource does not allow the call: 400 FAILED_PRECONDITION."""
    return ApiError(grpc.StatusCode.FAILED_PRECONDITION, message)


def not_found(name: str) -> ApiError:
    """There is no such resource: 404."""
    return ApiError(grpc.StatusCode.NOT_FOUND, f"The resource {name} is not found.")


def already_exists(name: str) -> ApiError:
    """The caller's id is taken: 409."""
    return ApiError(grpc.StatusCode.ALREADY_EXISTS, f"The resource {name} already exists.")


def permission_denied(message: str) -> ApiError:
    """The caller may not do this: 403."""
    return ApiError(grpc.StatusCode.PERMISSION_DENIED, message)


def exhausted(message: str) -> ApiError:
    """A quota is used up: 429."""
    return ApiError(grpc.StatusCode.RESOURCE_EXHAUSTED, message)


def unavailable(message: str) -> ApiError:
    """Try later: 503."""
    return ApiError(grpc.StatusCode.UNAVAILABLE, message)


def unimplemented(message: str) -> ApiError:
    """There is no such method here: 501."""
    return ApiError(grpc.StatusCode.UNIMPLEMENTED, message)
