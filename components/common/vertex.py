"""Vertex AI: where it is, how it is called, and how a thing is made once however often it is asked.

A read is retried as it is. A request that makes something is not: its answer may be lost after the
thing was made. So whoever makes something says how it is found, and before every try it is looked
for (:func:`ensure`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from google.api_core import exceptions, retry, timeout
from google.api_core.operation import Operation
from google.auth import exceptions as auth_exceptions
from requests import exceptions as http_exceptions

from kfp_llm_tuning.components.common.vertex_errors import explained

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)

# What another try may mend. RESOURCE_EXHAUSTED is a kind of TooManyRequests.
TRANSIENT = (
    exceptions.Aborted,
    exceptions.BadGateway,
    exceptions.GatewayTimeout,
    exceptions.InternalServerError,
    exceptions.ServiceUnavailable,
    exceptions.TooManyRequests,
    exceptions.Unknown,
    auth_exceptions.TransportError,
    http_exceptions.ChunkedEncodingError,
    http_exceptions.ConnectionError,
    http_exceptions.Timeout,
)
# Seconds: one request, all tries of one request, and one long-running operation. Deploying to a
# machine with GPUs takes up to half an hour.
_REQUEST_TIMEOUT = 60.0
_RETRY_TIMEOUT = 300.0
_OPERATION_TIMEOUT = 7200.0

_retry = retry.Retry(
    predicate=retry.if_exception_type(*TRANSIENT),
    initial=1.0,
    maximum=30.0,
    multiplier=2.0,
    timeout=_RETRY_TIMEOUT,
)

_request_timeout = timeout.ConstantTimeout(_REQUEST_TIMEOUT)  # type: ignore[no-untyped-call]

# Keyword arguments of a client's method: READ for what changes nothing, ONCE for what does, and for
# reads inside `ensure`, which does the retrying.
READ: dict[str, Any] = {"retry": _retry, "timeout": _request_timeout}
ONCE: dict[str, Any] = {"retry": None, "timeout": _request_timeout}


@dataclass(frozen=True)
class Vertex:
    """Vertex AI of one project in one region.

    Attributes:
        project: Id or number of the project.
        location: The region.
        endpoint: ``https://REGION-aiplatform.googleapis.com/ui`` or another URL; empty for the
            region's own. One with ``http://`` is called over REST, every other over gRPC.
    """

    project: str
    location: str
    endpoint: str = ""

    @property
    def parent(self) -> str:
        """``projects/PROJECT/locations/LOCATION``."""
        return f"projects/{self.project}/locations/{self.location}"

    @property
    def host(self) -> str:
        """The host that answers, with its port where it has one of its own."""
        return urlsplit(self.endpoint).netloc or f"{self.location}-aiplatform.googleapis.com"

    def client(self, kind: Callable[..., _T]) -> _T:
        """Opens a client.

        Args:
            kind: A client class of ``google.cloud.aiplatform_v1``.

        Returns:
            The client.

        Raises:
            UserError: If there are no credentials.
        """
        with explained("open Vertex AI"):
            if self.endpoint.startswith("http://"):
                options = {"api_endpoint": f"http://{self.host}"}
                return kind(client_options=options, transport="rest")
            return kind(client_options={"api_endpoint": self.host}, transport="grpc")


@dataclass(frozen=True)
class EnsuredResource(Generic[_T_co]):
    """A thing that is there.

    Attributes:
        resource: The thing.
        operation: Name of the long-running operation that made it; empty where it was there before
            or is made at once.
    """

    resource: _T_co
    operation: str = ""


def found_or_none(read: Callable[[], _T]) -> _T | None:
    """Reads what may not be there.

    Args:
        read: Gets it.

    Returns:
        What was read; None where Vertex AI knows no such thing.
    """
    try:
        return read()
    except exceptions.NotFound:
        return None


def ensure(
    find: Callable[[], _T | None], make: Callable[[], Operation | _T], doing: str, where: str = ""
) -> EnsuredResource[_T]:
    """Makes a thing unless it is there, and waits until it is.

    Args:
        find: Looks for it, each request made with ``ONCE``; None where it is not there.
        make: Asks Vertex AI once to make it, with ``ONCE``.
        doing: What is done, for messages: "upload the model intents".
        where: The parameter that is at fault where Vertex AI refuses.

    Returns:
        What ``find`` found, or what ``make`` made where that takes no operation.

    Raises:
        UserError: If Vertex AI refuses, or does not answer for minutes.
    """
    with explained(doing, where):
        started = _retry(lambda: _found_or_started(find, make))()
        if not isinstance(started, Operation | _CreationUnderWay):
            return EnsuredResource(started)
        if isinstance(started, Operation):
            _finish(started)
        name = started.operation.name if isinstance(started, Operation) else ""
        return EnsuredResource(wait_until_found(find), name)


def wait_until_found(find: Callable[[], _T | None]) -> _T:
    """Waits for a thing that another request makes.

    Args:
        find: Looks for it, each request made with ``ONCE``; None where it is not there.

    Returns:
        The thing.

    Raises:
        google.api_core.exceptions.RetryError: If it has not appeared for hours.
    """

    def look() -> _T:
        there = _retry(find)()
        if there is None:
            raise _NotFoundYet("another request makes it, and it has not appeared for hours")
        return there

    polling = retry.Retry(
        predicate=retry.if_exception_type(_NotFoundYet), maximum=20.0, timeout=_OPERATION_TIMEOUT
    )
    return polling(look)()


def wait(operation: Operation, doing: str, where: str = "") -> Any:
    """Waits for a long-running operation.

    Args:
        operation: What a client's method returned.
        doing: What is done, for messages.
        where: The parameter that is at fault where it fails.

    Returns:
        The operation's result.

    Raises:
        UserError: If it fails, or takes hours.
    """
    with explained(doing, where):
        return _result(operation)


class _CreationUnderWay:
    """An earlier delivery of the same request is making the thing."""


class _NotFoundYet(Exception):
    """The thing is not there yet."""


def _found_or_started(
    find: Callable[[], _T | None], make: Callable[[], Operation | _T]
) -> Operation | _T | _CreationUnderWay:
    there = find()
    if there is not None:
        return there
    try:
        return make()
    except exceptions.Conflict as error:
        # REST has one status, 409, for both: ALREADY_EXISTS comes as Conflict itself.
        if isinstance(error, exceptions.Aborted):
            raise
        return _CreationUnderWay()


def _finish(operation: Operation) -> None:
    try:
        _result(operation)
    except exceptions.AlreadyExists:
        # Two deliveries were accepted, and the other one was the first to finish.
        return


def _result(operation: Operation) -> Any:
    return operation.result(  # type: ignore[no-untyped-call]
        timeout=_OPERATION_TIMEOUT, retry=_retry
    )
