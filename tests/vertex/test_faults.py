"""Tests of injected faults, as clients see them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests
from google.api_core import exceptions
from google.cloud import aiplatform_v1, storage

from tests.vertex.faults import Kind
from tests.vertex.local_vertex import LocalVertex

Create = Callable[[], object]


def _client(transport: str) -> aiplatform_v1.EndpointServiceClient:
    return aiplatform_v1.EndpointServiceClient(
        transport=transport,
        client_options={"api_endpoint": "us-central1-aiplatform.googleapis.com"},
    )


def _create(transport: str) -> object:
    endpoint = aiplatform_v1.Endpoint(display_name="one")
    return _client(transport).create_endpoint(
        parent=LocalVertex.parent, endpoint=endpoint, endpoint_id="one", retry=None
    )


@pytest.mark.parametrize("transport", ["grpc", "rest"])
@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("unavailable", exceptions.ServiceUnavailable),
        ("quota", exceptions.TooManyRequests),
        ("permission", exceptions.Forbidden),
        ("reset", (exceptions.ServiceUnavailable, requests.ConnectionError)),
    ],
)
@pytest.mark.parametrize("after_commit", [False, True])
def test_errors_once(
    idle_vertex: LocalVertex,
    transport: str,
    kind: Kind,
    error: type[Exception],
    after_commit: bool,
) -> None:
    idle_vertex.faults.inject("EndpointService.CreateEndpoint", kind, after_commit=after_commit)

    with pytest.raises(error):
        _create(transport)

    assert len(idle_vertex.resources("endpoints")) == int(after_commit)
    assert idle_vertex.faults.waiting == []
    if after_commit:
        with pytest.raises(exceptions.Conflict):
            _create(transport)
    else:
        _create(transport)
    assert len(idle_vertex.resources("endpoints")) == 1


def test_strikes_as_often_as_told(idle_vertex: LocalVertex) -> None:
    idle_vertex.faults.inject("EndpointService.CreateEndpoint", "unavailable", times=2)

    for _ in range(2):
        with pytest.raises(exceptions.ServiceUnavailable):
            _create("grpc")
    _create("grpc")

    calls = [request.method for request in idle_vertex.requests]
    assert calls.count("EndpointService.CreateEndpoint") == 3


def test_delivers_twice_and_answers_once(idle_vertex: LocalVertex) -> None:
    idle_vertex.faults.inject("EndpointService.CreateEndpoint", "duplicate")
    unnamed = aiplatform_v1.Endpoint(display_name="unnamed")

    operation = _client("rest").create_endpoint(parent=LocalVertex.parent, endpoint=unnamed)

    names = [endpoint["name"] for endpoint in idle_vertex.resources("endpoints")]
    assert len(names) == 2
    assert operation.result().name == names[0]


def test_a_slow_call_is_answered(idle_vertex: LocalVertex) -> None:
    idle_vertex.faults.inject(
        "EndpointService.CreateEndpoint", "slow", seconds=0.3, after_commit=True
    )

    with pytest.raises(exceptions.DeadlineExceeded):
        _client("grpc").create_endpoint(
            parent=LocalVertex.parent,
            endpoint=aiplatform_v1.Endpoint(display_name="one"),
            endpoint_id="one",
            timeout=0.1,
            retry=None,
        )
    idle_vertex.faults.inject("EndpointService.CreateEndpoint", "slow", seconds=0.01)
    with pytest.raises(exceptions.Conflict):
        _create("grpc")  # what was too slow for the client happened all the same


def test_strikes_storage_and_other_apis(idle_vertex: LocalVertex) -> None:
    idle_vertex.faults.inject("storage.objects.insert", "permission")
    idle_vertex.faults.inject("cloudresourcemanager.projects.get", "unavailable")

    with pytest.raises(exceptions.Forbidden):
        storage.Client().bucket("bucket").blob("a").upload_from_string("x")
    answer = requests.get(
        "https://cloudresourcemanager.googleapis.com/v3/projects/test-project", timeout=10
    )

    assert answer.status_code == 503
    assert answer.json()["error"]["status"] == "UNAVAILABLE"


def test_refuses_unknown_kinds(idle_vertex: LocalVertex) -> None:
    with pytest.raises(ValueError, match="kind must be one of"):
        idle_vertex.faults.inject("*", "meteorite")  # type: ignore[arg-type]
