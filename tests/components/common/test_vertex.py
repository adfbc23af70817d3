from __future__ import annotations

from collections.abc import Sequence

import pytest
from google.api_core import exceptions, operation
from google.cloud import aiplatform_v1
from google.longrunning import operations_pb2
from google.protobuf.empty_pb2 import Empty
from google.rpc import status_pb2

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.vertex import (
    EnsuredResource,
    Vertex,
    ensure,
    found_or_none,
    wait,
)


class Service:
    """Makes one thing; the answers go wrong as a test says."""

    def __init__(self, before: Sequence[Exception] = (), after: Sequence[Exception] = ()) -> None:
        self.things: list[str] = []
        self.before = list(before)
        self.after = list(after)

    def find(self) -> str | None:
        return self.things[0] if self.things else None

    def make(self) -> str:
        if self.before:
            raise self.before.pop(0)
        self.things.append("thing")
        if self.after:
            raise self.after.pop(0)
        return "thing"


UNAVAILABLE = exceptions.ServiceUnavailable("try later")
REFUSED = exceptions.PermissionDenied("no")


def test_made_once() -> None:
    service = Service()
    for _ in range(2):
        assert ensure(service.find, service.make, "make it") == EnsuredResource("thing")
    assert service.things == ["thing"]


@pytest.mark.usefixtures("no_backoff")
@pytest.mark.parametrize(
    "service", [Service(before=[UNAVAILABLE] * 3), Service(after=[UNAVAILABLE])]
)
def test_made_once_although_answers_are_lost(service: Service) -> None:
    assert ensure(service.find, service.make, "make it").resource == "thing"
    assert service.things == ["thing"]


def test_refusals_are_not_tried_again() -> None:
    service = Service(before=[REFUSED, UNAVAILABLE])
    with pytest.raises(UserError, match="could not make it: no"):
        ensure(service.find, service.make, "make it")
    assert service.before == [UNAVAILABLE]


@pytest.mark.usefixtures("no_backoff")
def test_a_service_that_never_answers_is_an_error_that_says_so() -> None:
    service = Service(before=[UNAVAILABLE] * 10_000)
    with pytest.raises(UserError, match="try later .*Run it again"):
        ensure(service.find, service.make, "make it")
    assert service.things == []


@pytest.mark.usefixtures("no_backoff")
def test_another_delivery_makes_it_at_the_same_time() -> None:
    looks = iter([None, None, None, None, "thing"])

    def make() -> str:
        raise exceptions.AlreadyExists("it is being made")

    assert ensure(lambda: next(looks), make, "make it") == EnsuredResource("thing")


def running(*states: operations_pb2.Operation) -> operation.Operation:
    """An operation whose looks give these states, one after the other."""
    rest = iter(states[1:])
    return operation.Operation(states[0], lambda **_: next(rest), lambda: None, Empty)


def state(done: bool, error: status_pb2.Status | None = None) -> operations_pb2.Operation:
    result = operations_pb2.Operation(name="operations/1", done=done)
    if error:
        result.error.CopyFrom(error)
    elif done:
        result.response.Pack(Empty())
    return result


@pytest.mark.usefixtures("no_backoff")
def test_waits_for_the_operation() -> None:
    things: list[str] = []

    def make() -> operation.Operation:
        things.append("thing")
        return running(state(False), state(False), state(True))

    made = ensure(lambda: things[0] if things else None, make, "make it")
    assert made == EnsuredResource("thing", "operations/1")


def test_failed_operation() -> None:
    error = status_pb2.Status(code=8, message="Quota NVIDIA_L4 exceeded")
    with pytest.raises(UserError, match="Quota NVIDIA_L4 exceeded.*Ask for more quota"):
        wait(running(state(True, error)), "deploy it")


def test_or_none() -> None:
    def missing() -> str:
        raise exceptions.NotFound("no such thing")

    assert found_or_none(missing) is None
    assert found_or_none(lambda: "thing") == "thing"


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        ("", "us-central1-aiplatform.googleapis.com"),
        (
            "https://europe-west4-aiplatform.googleapis.com/ui",
            "europe-west4-aiplatform.googleapis.com",
        ),
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
    ],
)
def test_host(endpoint: str, host: str) -> None:
    assert Vertex("p", "us-central1", endpoint).host == host


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize(
    ("endpoint", "transport"), [("http://127.0.0.1:1", "rest"), ("https://127.0.0.1:1/ui", "grpc")]
)
def test_transport(endpoint: str, transport: str) -> None:
    client = Vertex("p", "us-central1", endpoint).client(aiplatform_v1.ModelServiceClient)
    assert client.transport.kind == transport
    assert "127.0.0.1:1" in client.transport.host


def test_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    from google.auth import exceptions as auth_exceptions

    def default(**_: object) -> None:
        raise auth_exceptions.DefaultCredentialsError("none found")

    monkeypatch.setattr("google.auth.default", default)
    with pytest.raises(UserError, match="gcloud auth application-default login"):
        Vertex("p", "us-central1").client(aiplatform_v1.ModelServiceClient)


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    from google.auth.credentials import AnonymousCredentials

    monkeypatch.setattr("google.auth.default", lambda **_: (AnonymousCredentials(), "p"))
