"""What is asked of a deployed model, and what follows from its answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.cloud import aiplatform_v1
from google.cloud.aiplatform_v1.types import DeployedModel, Endpoint, PrivateServiceConnectConfig

from kfp_llm_tuning.components.common import vertex as vertex_calls
from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.vertex import Vertex
from kfp_llm_tuning.components.upload import smoke_prediction
from kfp_llm_tuning.components.upload.smoke_prediction import DeployedVersion
from kfp_llm_tuning.components.upload.vertex_platform import deploy, upload
from tests.components.upload.vertex_tasks import (
    LOCATION,
    PARENT,
    RUN,
    answer,
    deploy_task,
    upload_task,
)
from tests.vertex import errors
from tests.vertex.local_vertex import LocalVertex

pytestmark = pytest.mark.usefixtures("no_backoff", "vertex_server")
PREDICT = "PredictionService.Predict"
BODY = '{"error": {"code": 500, "message": "Internal error. The log tells more: request 7."}}'
TEXT = {"content": "Hi."}


@pytest.fixture
def model(vertex_server: LocalVertex, tmp_path: Path) -> str:
    """A registered version."""
    return upload(upload_task(vertex_server, tmp_path)).model_resource_name


def prediction_requests(server: LocalVertex) -> list[dict[str, Any]]:
    return [call.body for call in server.requests if call.method == PREDICT]


def refuse(code: grpc.StatusCode, message: str) -> Any:
    """Answers every prediction with an error."""

    def predict(*_: Any) -> list[Any]:
        raise errors.ApiError(code, message)

    return predict


def failure(server: LocalVertex, model: str, **changes: object) -> str:
    """Deploys a model that fails."""
    with pytest.raises(UserError) as caught:
        deploy(deploy_task(server, model, **changes))
    return str(caught.value)


@pytest.mark.parametrize(
    ("reference", "instance"),
    [
        ("text-bison@002", {"prompt": "Hello"}),
        ("byte-tiny", {"prompt": "Hello"}),
        ("", {"prompt": "Hello"}),
        ("code-bison@002", {"prefix": "def hello():"}),
        ("chat-bison@002", {"messages": [{"author": "user", "content": "Hello"}]}),
    ],
)
def test_a_model_is_asked_in_its_own_way(
    vertex_server: LocalVertex,
    model: str,
    caplog: pytest.LogCaptureFixture,
    reference: str,
    instance: dict[str, Any],
) -> None:
    with caplog.at_level(logging.INFO):
        deploy(deploy_task(vertex_server, model, model_reference=reference))
    (request,) = prediction_requests(vertex_server)
    assert request["instances"] == [instance]
    assert request["parameters"] == {"maxOutputTokens": 1.0, "temperature": 0.0}
    assert f"{model} answered a prediction in 0." in caplog.text


def test_a_model_that_fails_is_undeployed(vertex_server: LocalVertex, model: str) -> None:
    vertex_server.predict_with(refuse(grpc.StatusCode.INTERNAL, BODY))
    told = failure(vertex_server, model)
    assert f"could not get a prediction from {model}, deployed to {PARENT}/endpoints/" in told
    assert "Internal error. The log tells more: request 7 (InternalServerError)." in told
    assert "gcloud logging read" in told
    assert "undeployed again" in told
    assert len(prediction_requests(vertex_server)) == 1
    (endpoint,) = vertex_server.resources("endpoints")
    assert "deployedModels" not in endpoint
    assert len(vertex_server.resources("models")) == 1

    vertex_server.predict_with(answer)
    assert deploy(deploy_task(vertex_server, model)).endpoint_resource_name == endpoint["name"]
    (endpoint,) = vertex_server.resources("endpoints")
    assert len(endpoint["deployedModels"]) == 1


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.FAILED_PRECONDITION, "FailedPrecondition"),
        (grpc.StatusCode.INVALID_ARGUMENT, "InvalidArgument"),
        (grpc.StatusCode.UNIMPLEMENTED, "MethodNotImplemented"),
    ],
)
def test_a_model_that_refuses(
    vertex_server: LocalVertex, model: str, code: grpc.StatusCode, kind: str
) -> None:
    vertex_server.predict_with(refuse(code, '{"detail": "No instances."}'))
    assert f"No instances ({kind})." in failure(vertex_server, model)
    assert len(prediction_requests(vertex_server)) == 1


def test_a_model_that_is_not_there_yet(vertex_server: LocalVertex, model: str) -> None:
    vertex_server.faults.inject(PREDICT, "unavailable", times=3)
    vertex_server.faults.inject(PREDICT, "quota", times=2)
    deploy(deploy_task(vertex_server, model))
    assert len(prediction_requests(vertex_server)) == 6


@pytest.mark.parametrize(
    ("fault", "words"),
    [("unavailable", "(ServiceUnavailable)"), ("quota", "Injected fault: quota at")],
)
def test_a_model_that_never_comes(
    vertex_server: LocalVertex, model: str, fault: Any, words: str
) -> None:
    vertex_server.faults.inject(PREDICT, fault, times=10**6)
    told = failure(vertex_server, model)
    assert "no answer came for minutes" in told
    assert words in told


def test_a_model_that_hangs(
    vertex_server: LocalVertex, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    vertex_server.predict_with(lambda *_: [released.wait(30)])
    there = deploy_without_prediction(vertex_server, model, monkeypatch)
    monkeypatch.setattr(vertex_calls._request_timeout, "_timeout", 0.05)
    monkeypatch.setitem(
        smoke_prediction._ASK, "retry", smoke_prediction._ASK["retry"].with_timeout(2)
    )
    try:
        with pytest.raises(UserError, match="no answer came for minutes: Deadline Exceeded"):
            ask(vertex_server, there)
    finally:
        released.set()


def deploy_without_prediction(
    server: LocalVertex, model: str, monkeypatch: pytest.MonkeyPatch
) -> Endpoint:
    """Deploys a model, and leaves the prediction to the test."""
    with monkeypatch.context() as patch:
        patch.setattr(smoke_prediction, "request_prediction", lambda *_: None)
        name = deploy(deploy_task(server, model)).endpoint_resource_name
    client = Vertex(server.project, LOCATION).client(aiplatform_v1.EndpointServiceClient)
    return client.get_endpoint(name=name)


def ask(server: LocalVertex, endpoint: Endpoint) -> None:
    identifier = endpoint.deployed_models[0].id
    smoke_prediction.request_prediction(
        Vertex(server.project, LOCATION), endpoint, DeployedVersion("m@1", identifier)
    )


@pytest.mark.parametrize(
    "predictions", [[], [TEXT, TEXT], [{"content": None}], [{"candidates": []}], ["Hi."], [{}]]
)
def test_answers_that_are_no_prediction(
    vertex_server: LocalVertex, model: str, predictions: list[Any]
) -> None:
    vertex_server.predict_with(lambda *_: predictions)
    assert "its answer is no prediction with a text" in failure(vertex_server, model)
    (endpoint,) = vertex_server.resources("endpoints")
    assert "deployedModels" not in endpoint


def test_a_model_that_ends_at_once(vertex_server: LocalVertex, model: str) -> None:
    vertex_server.predict_with(lambda *_: [{"content": ""}])
    assert deploy(deploy_task(vertex_server, model)).endpoint_resource_name


def test_an_account_that_may_not_ask_deploys_all_the_same(
    vertex_server: LocalVertex, model: str, caplog: pytest.LogCaptureFixture
) -> None:
    vertex_server.faults.inject(PREDICT, "permission", times=10**6)
    assert deploy(deploy_task(vertex_server, model)).endpoint_resource_name
    assert "was not asked whether it answers" in caplog.text
    assert "Grant the account a role" in caplog.text
    assert len(prediction_requests(vertex_server)) == 1
    (endpoint,) = vertex_server.resources("endpoints")
    assert len(endpoint["deployedModels"]) == 1


class Shared:
    """An endpoint whose first model has all requests, and a second model to be deployed there."""

    def __init__(self, server: LocalVertex, folder: Path, model: str) -> None:
        self._server = server
        first = upload(upload_task(server, folder, run_id="run-1")).model_resource_name
        self.name = deploy(deploy_task(server, first, run_id="run-1")).endpoint_resource_name
        self.model = model
        self.shares_before = self.shares()
        server.requests.clear()

    def task(self, share: int) -> dict[str, object]:
        return {"endpoint": self.name, "traffic_percentage": share}

    def deploy(self, share: int) -> None:
        deploy(deploy_task(self._server, self.model, **self.task(share)))

    def shares(self) -> dict[str, int]:
        (endpoint,) = self._server.resources("endpoints")
        return dict(endpoint["trafficSplit"])


@pytest.fixture
def shared(vertex_server: LocalVertex, tmp_path: Path, model: str) -> Shared:
    return Shared(vertex_server, tmp_path, model)


def only(run_is_ours: bool, fail: Any) -> Any:
    """Lets the models of this run, or all others, fail."""

    def predict(model: dict[str, Any], instances: Any, parameters: Any) -> list[Any]:
        if (model["labels"]["pipeline-run-id"] == RUN) is run_is_ours:
            return list(fail())
        return answer(model, instances, parameters)

    return predict


def test_a_shared_endpoint_is_asked_until_the_model_answers(
    vertex_server: LocalVertex, shared: Shared
) -> None:
    asked: list[str] = []

    def predict(model: dict[str, Any], instances: Any, parameters: Any) -> list[Any]:
        asked.append(model["labels"]["pipeline-run-id"])
        return answer(model, instances, parameters)

    vertex_server.predict_with(predict)
    shared.deploy(20)
    assert asked[-1] == RUN
    assert set(asked[:-1]) <= {"run-1"}


def test_another_model_that_fails_is_not_ours(vertex_server: LocalVertex, shared: Shared) -> None:
    vertex_server.predict_with(only(False, refuse(grpc.StatusCode.INTERNAL, BODY)))
    shared.deploy(20)
    assert sorted(shared.shares().values()) == [20, 80]


@pytest.mark.parametrize("share", [20, 100])
def test_the_other_models_get_their_requests_back(
    vertex_server: LocalVertex, shared: Shared, share: int
) -> None:
    vertex_server.predict_with(only(True, refuse(grpc.StatusCode.INTERNAL, BODY)))
    told = failure(vertex_server, shared.model, **shared.task(share))
    assert "request 7" in told
    assert ("perhaps another model's" in told) is (share < 100)
    assert shared.shares() == shared.shares_before


def test_a_model_that_no_request_reaches(
    vertex_server: LocalVertex, shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.choices", lambda models, _: models[:1])
    told = failure(vertex_server, shared.model, **shared.task(1))
    assert "no request reached it, although it has 1 % of them" in told
    # A model with that share is missed so often in one of 10,000 runs.
    assert len(prediction_requests(vertex_server)) > 900
    assert shared.shares() == shared.shares_before


def test_a_share_of_nothing_is_not_asked(
    vertex_server: LocalVertex, shared: Shared, caplog: pytest.LogCaptureFixture
) -> None:
    shared.deploy(0)
    assert prediction_requests(vertex_server) == []
    assert "was not asked whether it answers: its share" in caplog.text
    assert sorted(shared.shares().values()) == [0, 100]


def test_a_private_endpoint_is_not_asked(caplog: pytest.LogCaptureFixture) -> None:
    deployed = [DeployedModel(id="7")]
    private = PrivateServiceConnectConfig(enable_private_service_connect=True)
    for endpoint in (Endpoint(network="n"), Endpoint(private_service_connect_config=private)):
        endpoint.deployed_models, endpoint.traffic_split = deployed, {"7": 100}
        smoke_prediction.request_prediction(
            Vertex("p", LOCATION), endpoint, DeployedVersion("m@1", "7")
        )
    assert caplog.text.count("answers in a private network only") == 2


def test_a_dedicated_endpoint_is_asked_at_its_own_address(
    vertex_server: LocalVertex, model: str
) -> None:
    client = Vertex(vertex_server.project, LOCATION).client(aiplatform_v1.EndpointServiceClient)
    dedicated = Endpoint(display_name="own", dedicated_endpoint_enabled=True)
    name = client.create_endpoint(parent=PARENT, endpoint=dedicated).result().name
    deploy(deploy_task(vertex_server, model, endpoint=name))
    apis = {call.method: call.api for call in vertex_server.requests}
    # Google's SDK calls such endpoints over REST, whatever the others are called over.
    assert apis[PREDICT] == "rest"
    assert apis["EndpointService.DeployModel"] == "grpc"


def test_another_task_s_deployment_stays(vertex_server: LocalVertex, model: str) -> None:
    deploy(deploy_task(vertex_server, model, run_id=""))
    vertex_server.predict_with(refuse(grpc.StatusCode.INTERNAL, BODY))
    assert "undeployed" not in failure(vertex_server, model, run_id="")
    (endpoint,) = vertex_server.resources("endpoints")
    assert len(endpoint["deployedModels"]) == 1


def test_a_deployment_that_cannot_be_taken_back(vertex_server: LocalVertex, model: str) -> None:
    vertex_server.predict_with(refuse(grpc.StatusCode.INTERNAL, BODY))
    vertex_server.faults.inject("EndpointService.UndeployModel", "permission")
    told = failure(vertex_server, model)
    assert told.startswith("2 problems:")
    assert "gcloud ai endpoints undeploy-model" in told
    assert "undeployed again;" not in told


@contextmanager
def page(status: int, body: bytes) -> Iterator[str]:
    """A proxy that answers everything with one page."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # noqa: N802  the name that http.server asks for
            self.send_response(status)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Keeps quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (200, "endpoints/1: its answer is no JSON"),
        (404, "Sign in here (NotFound)"),
        (500, "Sign in here (InternalServerError)"),
        (502, "Sign in here (BadGateway)"),
    ],
)
def test_a_page_of_a_proxy(status: int, words: str) -> None:
    endpoint = Endpoint(name=f"{PARENT}/endpoints/1", traffic_split={"7": 100})
    body = b"<html><style>p {margin: 0}</style><body>Sign in <b>here</b></body></html>"
    with page(status, body) as address, pytest.raises(UserError) as caught:
        smoke_prediction.request_prediction(
            Vertex("p", LOCATION, address), endpoint, DeployedVersion("m@1", "7")
        )
    told = str(caught.value)
    assert words in told
    assert ("no answer came for minutes" in told) is (status == 502)
    assert "<" not in told
