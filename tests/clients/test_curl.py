"""curl with the published REST bodies, and with others of their kind."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.cloud import aiplatform_v1

from kfp_llm_tuning.components.models import byte_tiny
from tests.clients.conftest import StartVertex
from tests.clients.data import write_data
from tests.clients.running import run_curl
from tests.vertex.local_vertex import LocalVertex

pytestmark = [pytest.mark.clients, pytest.mark.timeout(1800)]
_OURS = Path(__file__).parent / "requests"
# The published bodies, where they stand beside the checkout.
_PUBLISHED = Path(__file__).parents[3] / "shared" / "contract" / "requests"
_BODIES = sorted([*_OURS.glob("*.json"), *_PUBLISHED.glob("*.json")])
_GOOD = [body for body in _BODIES if "misspelt" not in body.stem]
_MISSPELT = [body for body in _BODIES if "misspelt" in body.stem]
_EOS = str(byte_tiny.SPECIAL_TOKENS.index(byte_tiny.EOS))
_ENDS = ("PIPELINE_STATE_SUCCEEDED", "PIPELINE_STATE_FAILED", "PIPELINE_STATE_CANCELLED")


def _name(body: Path) -> str:
    return body.stem


def _need_published() -> None:
    if not _PUBLISHED.is_dir():
        pytest.skip(f"no published bodies at {_PUBLISHED}")


class Curl:
    """Calls the REST interface of a local Vertex AI as the published examples do."""

    def __init__(self, vertex: LocalVertex, project: str = LocalVertex.project) -> None:
        self._root = f"{vertex.rest_url}/v1"
        self.parent = f"projects/{project}/locations/us-central1"

    def post(self, path: str, body: str | Path) -> Any:
        data = body if isinstance(body, str) else f"@{body}"
        headers = ("-H", "Content-Type: application/json; charset=utf-8")
        return self.get(path, "-X", "POST", *headers, "-d", data)

    def get(self, path: str, *options: str) -> Any:
        return run_curl("-H", "Authorization: Bearer token", *options, f"{self._root}/{path}")

    def job_at_end(self, name: str) -> Any:
        while (job := self.get(name))["state"] not in _ENDS:
            time.sleep(1)
        return job


@pytest.fixture(scope="module")
def curl(start_vertex: StartVertex) -> Iterator[Curl]:
    """Jobs stay as they are created."""
    with start_vertex() as vertex:
        yield Curl(vertex)


@pytest.fixture(scope="module")
def running_curl(start_vertex: StartVertex) -> Iterator[Curl]:
    """Jobs really run."""
    with start_vertex(execute=True) as vertex:
        yield Curl(vertex)


@pytest.mark.parametrize("body", _GOOD, ids=_name)
def test_a_good_body_is_accepted_and_cancelled(curl: Curl, body: Path) -> None:
    job = curl.post(f"{curl.parent}/pipelineJobs", body)
    assert job["name"].startswith(curl.parent)
    assert job["templateUri"].startswith("https://us-kfp.pkg.dev/")
    assert job["pipelineSpec"]["pipelineInfo"]["name"] in job["templateUri"].split("/")
    assert curl.post(f"{job['name']}:cancel", "{}") == {}
    assert curl.job_at_end(job["name"])["state"] == "PIPELINE_STATE_CANCELLED"


@pytest.mark.parametrize("body", _MISSPELT, ids=_name)
def test_a_misspelt_parameter_is_refused_by_name(curl: Curl, body: Path) -> None:
    error = curl.post(f"{curl.parent}/pipelineJobs", body)["error"]
    assert error["code"] == 400
    assert error["status"] == "INVALID_ARGUMENT"
    assert "accelerator_type:" in error["message"]


def test_a_text_body_runs_to_a_model_that_answers(running_curl: Curl) -> None:
    curl = running_curl
    created = curl.post(
        f"{curl.parent}/pipelineJobs?pipelineJobId=posted-text", _OURS / "text.json"
    )
    assert created["name"] == f"{curl.parent}/pipelineJobs/posted-text"
    job = curl.job_at_end(created["name"])
    assert job["state"] == "PIPELINE_STATE_SUCCEEDED", job["error"]
    label = "labels.google-vertex-llm-tuning-base-model-id%3D%22text-bison-002%22"
    [model] = curl.get(f"{curl.parent}/models?filter={label}")["models"]
    assert model["displayName"].startswith("posted-text-model")
    assert model["labels"]["team"] == "support"
    assert model["encryptionSpec"]["kmsKeyName"].endswith("/cryptoKeys/key")
    endpoint = model["deployedModels"][0]["endpoint"]
    # Hardly tuned weights may put the end of the answer first: it is forbidden.
    parameters = {"maxOutputTokens": 8, "logitBias": {_EOS: -100}}
    body = json.dumps({"instances": [{"content": "What is 1 + 1?"}], "parameters": parameters})
    predicted = curl.post(f"{endpoint}:predict", body)
    raw = curl.post(f"{endpoint}:rawPredict", body)
    assert isinstance(predicted["predictions"][0]["content"], str)
    assert predicted["deployedModelId"]
    assert {name: predicted[name] for name in raw} == raw
    assert raw["metadata"]["tokenMetadata"]["outputTokenCount"]["totalTokens"] == 8
    _check_openai_body(curl, endpoint)
    _check_refusals(curl, endpoint)


def _check_openai_body(curl: Curl, endpoint: str) -> None:
    """Vertex AI reaches one route alone: it takes the bodies of OpenAI's API too."""
    body = '{"messages": [{"role": "user", "content": "What is 1 + 1?"}], "max_tokens": 4}'
    [choice] = curl.post(f"{endpoint}:rawPredict", body)["choices"]
    assert choice["message"]["role"] == "assistant"


def _check_refusals(curl: Curl, endpoint: str) -> None:
    long = {"instances": [{"content": "How long? " * 1000}]}
    misspelt = {"instances": [{"content": "Hello"}], "parameters": {"maxOutputToken": 8}}
    for body, words in (
        (long, "The model supports up to 8192 input tokens, but received 10002 tokens"),
        (misspelt, "maxOutputTokens"),
    ):
        for verb in ("predict", "rawPredict"):
            error = curl.post(f"{endpoint}:{verb}", json.dumps(body))["error"]
            assert error["code"] == 400
            assert words in error["message"]


def test_a_chat_body_runs(running_curl: Curl) -> None:
    created = running_curl.post(f"{running_curl.parent}/pipelineJobs", _OURS / "chat.json")
    job = running_curl.job_at_end(created["name"])
    assert job["state"] == "PIPELINE_STATE_SUCCEEDED", job["error"]


# The first as it is, 300 steps. The 1,000 of the other take a quarter of an hour here, and it asks
# for TPU.
@pytest.mark.parametrize(
    ("name", "changes"),
    [("rest_text", {}), ("rest_chat", {"accelerator_type": "GPU", "train_steps": 10})],
)
def test_a_published_body_runs_to_the_end(
    start_vertex: StartVertex, name: str, changes: dict[str, object]
) -> None:
    job = _run_published(start_vertex, name, changes)
    assert job["state"] == "PIPELINE_STATE_SUCCEEDED", job["error"]
    tasks = {task["taskName"]: task["state"] for task in job["jobDetail"]["taskDetails"]}
    assert tasks["upload-llm-model"] == tasks["deployment-graph"] == "SUCCEEDED"


def test_a_published_body_for_tpu_is_refused_in_its_first_task(start_vertex: StartVertex) -> None:
    job = _run_published(start_vertex, "rest_chat", {})
    assert job["state"] == "PIPELINE_STATE_FAILED"
    tasks = {task["taskName"]: task for task in job["jobDetail"]["taskDetails"]}
    assert (
        "no engine of this version tunes on TPU" in tasks["validate-pipeline"]["error"]["message"]
    )
    assert "large-language-model-tuner" not in tasks


def _run_published(start_vertex: StartVertex, name: str, changes: dict[str, object]) -> Any:
    _need_published()
    body = json.loads((_PUBLISHED / f"{name}.json").read_text(encoding="utf-8"))
    body["runtimeConfig"]["parameterValues"].update(changes)
    with start_vertex(execute=True) as vertex:
        write_data(vertex.storage.create_bucket("my-bucket"))
        tensorboard = "projects/my-project/locations/us-central1/tensorboards/123"
        vertex.store.put(tensorboard, aiplatform_v1.Tensorboard.pb()(name=tensorboard))
        curl = Curl(vertex, "my-project")
        created = curl.post(f"{curl.parent}/pipelineJobs", json.dumps(body))
        return curl.job_at_end(created["name"])
