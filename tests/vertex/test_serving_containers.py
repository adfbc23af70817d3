"""Deployed models as the containers that really run: started, asked and ended."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from google.api import httpbody_pb2
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import aiplatform, aiplatform_v1

from kfp_llm_tuning.components.models import byte_tiny
from tests.vertex.execution.serving_container import ServingContainer
from tests.vertex.images import SERVING_IMAGE
from tests.vertex.local_vertex import LocalVertex, local_vertex
from tests.vertex.sample_container import COMMAND

PARENT = LocalVertex.parent
EVENTS = "text/event-stream"
RESOURCES = {"machine_spec": {"machine_type": "e2-standard-4"}, "min_replica_count": 1}


class Client:
    """What a user does with models and endpoints."""

    def __init__(
        self,
        vertex: LocalVertex,
        transport: str,
        address: str = "us-central1-aiplatform.googleapis.com",
    ) -> None:
        self.vertex = vertex
        services = ("ModelService", "EndpointService", "PredictionService")
        self._models, self._endpoints, self.predictions = (
            getattr(aiplatform_v1, f"{name}Client")(
                client_options={"api_endpoint": address},
                transport=transport,
                credentials=AnonymousCredentials(),
            )
            for name in services
        )
        endpoint = aiplatform_v1.Endpoint(display_name="router")
        created = self._endpoints.create_endpoint(parent=PARENT, endpoint=endpoint)
        self.endpoint = created.result().name

    def upload(self, sample: str = "", **container: Any) -> str:
        spec = {
            "image_uri": SERVING_IMAGE,
            "command": COMMAND,
            "env": [{"name": "SAMPLE", "value": sample}],
            **container,
        }
        model = {"display_name": "m", "artifact_uri": "gs://bucket/model", "container_spec": spec}
        name: str = self._models.upload_model(parent=PARENT, model=model).result().model
        return name

    def deploy(self, model: str, identifier: str = "7", share: int = 100) -> None:
        deployed = {"id": identifier, "model": model, "dedicated_resources": RESOURCES}
        current = self.read().traffic_split
        split = {"0": share, **{name: 100 - share for name in current}} if current else {"0": 100}
        self._endpoints.deploy_model(
            endpoint=self.endpoint, deployed_model=deployed, traffic_split=split
        ).result(timeout=120)

    def undeploy(self, identifier: str = "7") -> None:
        self._endpoints.undeploy_model(
            endpoint=self.endpoint, deployed_model_id=identifier
        ).result()

    def read(self) -> aiplatform_v1.Endpoint:
        return self._endpoints.get_endpoint(name=self.endpoint)

    def container(self, identifier: str = "7") -> ServingContainer:
        found = self.vertex.backend.containers.get((self.endpoint, identifier))
        assert isinstance(found, ServingContainer)
        return found

    def predict(self, **wanted: Any) -> aiplatform_v1.PredictResponse:
        """Asks the sample container, which answers what is wanted of it."""
        return self.predictions.predict(
            endpoint=self.endpoint, instances=[wanted], parameters={"topK": 3}
        )


@pytest.fixture(scope="module")
def vertex(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalVertex]:
    with local_vertex(tmp_path_factory.mktemp("vertex"), execute=True) as running:
        running.storage.create_bucket("bucket")
        yield running


@pytest.fixture(params=["grpc", "rest"])
def client(request: pytest.FixtureRequest, vertex: LocalVertex) -> Client:
    """A user with an empty endpoint."""
    return Client(vertex, request.param)


@pytest.fixture(scope="module", params=["grpc", "rest"])
def answered(request: pytest.FixtureRequest, vertex: LocalVertex) -> Client:
    """A user with an endpoint whose model answers."""
    client = Client(vertex, request.param)
    client.deploy(client.upload())
    return client


def code_at_end(process: subprocess.Popen[bytes]) -> int:
    end = time.monotonic() + 60
    while process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.02)
    return process.returncode


def test_a_container_gets_what_vertex_ai_gives(client: Client) -> None:
    client.deploy(client.upload(predict_route="/ask", health_route="/health"))
    assert [model.id for model in client.read().deployed_models] == ["7"]
    predictions = {"predictions": [{"content": "Hi."}], "metadata": {"tokens": 2}}
    text = json.dumps(predictions)
    answer = client.predict(chunks=[text[:10], text[10:]])
    assert dict(answer.predictions[0]) == {"content": "Hi."}
    assert dict(answer.metadata) == {"tokens": 2}
    assert answer.deployed_model_id == "7"
    told = client.container().log.read_text()
    for variable in (
        "'AIP_STORAGE_URI': 'gs://bucket/model'",
        "'AIP_PREDICT_ROUTE': '/ask'",
        "'AIP_MACHINE_TYPE': 'e2-standard-4'",
        f"'AIP_ENDPOINT_ID': '{client.endpoint.rpartition('/')[2]}'",
    ):
        assert variable in told


def test_default_routes_and_a_container_that_is_late(client: Client) -> None:
    client.deploy(client.upload("late"))
    assert client.predict(chunks=['{"predictions": []}']).deployed_model_id == "7"


def test_a_container_that_ends(client: Client) -> None:
    model = client.upload("end")
    with pytest.raises(exceptions.GoogleAPICallError) as caught:
        client.deploy(model)
    assert "Model server exited unexpectedly" in str(caught.value)
    assert "The weights are broken." in str(caught.value)
    assert not client.read().deployed_models
    with pytest.raises(exceptions.BadRequest, match="does not have any traffic"):
        client.predict()


def test_a_command_that_does_not_exist(client: Client) -> None:
    with pytest.raises(exceptions.BadRequest, match="The container did not start"):
        client.deploy(client.upload(command=["no-such-command"]))


def test_a_container_that_never_becomes_healthy(client: Client) -> None:
    client.deploy(client.upload())
    with pytest.raises(exceptions.GoogleAPICallError, match="never became ready"):
        client.deploy(client.upload("unhealthy", deployment_timeout="1s"), "8", 20)
    # The others keep what they had.
    assert client.read().traffic_split == {"7": 100}


def test_an_id_is_taken_while_its_container_starts(client: Client) -> None:
    deployed = {"id": "7", "model": client.upload("late"), "dedicated_resources": RESOURCES}
    request = {"endpoint": client.endpoint, "deployed_model": deployed, "traffic_split": {"0": 100}}
    operation = client._endpoints.deploy_model(request=request)
    with pytest.raises(exceptions.Conflict):
        client._endpoints.deploy_model(request=request)
    assert operation.result().deployed_model.id == "7"


def test_undeploying_ends_the_container(client: Client) -> None:
    client.deploy(client.upload())
    process = client.container().process
    client.undeploy()
    assert code_at_end(process) == -signal.SIGTERM
    client.deploy(client.upload())
    assert client.container().process.pid != process.pid


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, exceptions.BadRequest),
        (413, exceptions.BadRequest),
        (404, exceptions.NotFound),
        (429, exceptions.TooManyRequests),
        (500, exceptions.InternalServerError),
        (503, exceptions.ServiceUnavailable),
        (504, exceptions.GatewayTimeout),
    ],
)
def test_errors_of_a_container(answered: Client, status: int, error: type[Exception]) -> None:
    body = '{"error": {"message": "No prompt."}}'
    with pytest.raises(error, match="No prompt") as caught:
        answered.predictions.predict(
            endpoint=answered.endpoint, instances=[{"status": status, "chunks": [body]}], retry=None
        )
    assert body in str(caught.value)


def test_an_answer_without_predictions(answered: Client) -> None:
    with pytest.raises(exceptions.InternalServerError, match="field predictions is missing"):
        answered.predict(chunks=["<html>"])


def test_a_container_that_is_gone(client: Client) -> None:
    client.deploy(client.upload())
    client.container().process.kill()
    client.container().process.wait()
    with pytest.raises(exceptions.ServiceUnavailable, match="upstream connect error"):
        client.predictions.predict(endpoint=client.endpoint, instances=[{}], retry=None)


def test_raw_bodies_pass_both_ways(vertex: LocalVertex) -> None:
    client = Client(vertex, "grpc")
    client.deploy(client.upload())
    body = httpbody_pb2.HttpBody(content_type="text/csv", data="a,ü\n".encode())
    assert client.predictions.raw_predict(endpoint=client.endpoint, http_body=body) == body

    wanted = json.dumps({"type": EVENTS, "chunks": ["data: 1\n\n", "data: 2\n\n"]})
    body = httpbody_pb2.HttpBody(content_type="application/json", data=wanted.encode())
    parts = client.predictions.stream_raw_predict(endpoint=client.endpoint, http_body=body)
    assert [(part.content_type, part.data) for part in parts] == [
        (EVENTS, b"data: 1\n\n"),
        (EVENTS, b"data: 2\n\n"),
    ]
    body.data = b'{"status": 429, "chunks": ["Come later."]}'
    with pytest.raises(exceptions.TooManyRequests, match="Come later"):
        client.predictions.stream_raw_predict(endpoint=client.endpoint, http_body=body, retry=None)


def test_the_sdk_s_endpoint(vertex: LocalVertex, answered: Client) -> None:
    aiplatform.init(project=vertex.project, location=vertex.location)
    endpoint = aiplatform.Endpoint(answered.endpoint)
    headers = {"Content-Type": "application/json"}
    body = json.dumps({"type": EVENTS, "chunks": ["data: 1\n\n", "data: 2\n\n"]}).encode()
    answer = endpoint.raw_predict(body, headers)
    assert answer.headers["Content-Type"] == EVENTS
    assert answer.text == "data: 1\n\ndata: 2\n\n"
    lines = list(endpoint.stream_raw_predict(body, headers))
    assert [line for line in lines if line] == [b"data: 1", b"data: 2"]
    refused = endpoint.raw_predict(b'{"status": 400, "chunks": ["No prompt."]}', headers)
    assert (refused.status_code, refused.json()["error"]["message"]) == (400, "No prompt.")


def test_closing_ends_the_containers(tmp_path: Path) -> None:
    # Not local_vertex(): this process calls the other one too.
    with closing(LocalVertex(tmp_path, execute=True)) as vertex:
        client = Client(vertex, "rest", vertex.rest_url)
        client.deploy(client.upload())
        process = client.container().process
        assert process.poll() is None
    assert process.poll() is not None


def test_our_server(vertex: LocalVertex) -> None:
    """The real server, loaded from Cloud Storage."""
    folder = vertex.storage_folder / "bucket" / "model"
    folder.mkdir(exist_ok=True)
    byte_tiny.build(folder)
    provenance = {"prompt_format": "plain", "max_input_tokens": 64, "max_output_tokens": 8}
    (folder / "tuning.json").write_text(json.dumps(provenance))
    client = Client(vertex, "grpc")
    client.deploy(client.upload(command=[], predict_route="/predict", health_route="/health"))
    answer = client.predictions.predict(
        endpoint=client.endpoint,
        instances=[{"prompt": "ab"}, {"messages": [{"author": "user", "content": "ab"}]}],
        parameters={"maxOutputTokens": 4, "topK": 40},
    )
    text, chat = answer.predictions
    assert isinstance(text["content"], str)
    assert isinstance(chat["candidates"][0]["content"], str)
    assert answer.metadata["tokenMetadata"]["inputTokenCount"]["totalTokens"] > 0
    with pytest.raises(exceptions.BadRequest, match="supports up to 64 input tokens"):
        client.predictions.predict(endpoint=client.endpoint, instances=[{"prompt": "a" * 100}])
    process = client.container().process
    client.undeploy()
    assert code_at_end(process) == 0
