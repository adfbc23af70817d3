"""What vertexai.language_models sends when a model is tuned: every kind of model and argument."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from tests.clients.conftest import StartVertex
from tests.clients.environments import SDK_VERSIONS
from tests.clients.running import TEMPLATES, run_sdk

pytestmark = [pytest.mark.clients, pytest.mark.timeout(1800)]
Job = dict[str, Any]
_KEY = "projects/test-project/locations/us-central1/keyRings/ring/cryptoKeys/key"
_TENSORBOARD = "projects/test-project/locations/us-central1/tensorboards/123"


@pytest.fixture(scope="module", params=SDK_VERSIONS)
def jobs(request: pytest.FixtureRequest, start_vertex: StartVertex) -> dict[str, Job]:
    """The jobs that one SDK created, by kind."""
    with start_vertex() as vertex:
        ids = run_sdk(
            request.param, vertex, "submit_tuning.py", vertex.project, TEMPLATES, _TENSORBOARD
        )
        created = {
            job.name.rpartition("/")[2]: MessageToDict(job)
            for job in vertex.store.of_collection("pipelineJobs")
        }
    return {kind: created[job_id] for kind, job_id in ids.items()}


def _parameters(job: Job) -> dict[str, Any]:
    values: dict[str, Any] = job["runtimeConfig"]["parameterValues"]
    assert values.pop("project") == "test-project"
    assert values.pop("location") == "us-central1"
    assert values.pop("encryption_spec_key_name") == _KEY
    return values


def test_text_with_every_argument(jobs: dict[str, Job]) -> None:
    assert jobs["text"]["pipelineSpec"]["pipelineInfo"]["name"] == "tune-large-model"
    assert _parameters(jobs["text"]) == {
        "model_display_name": "tuned-text",
        "dataset_uri": "gs://staging/train.jsonl",
        "large_model_reference": "text-bison@002",
        "train_steps": 240,
        "learning_rate_multiplier": 1.5,
        "accelerator_type": "GPU",
        "max_context_length": "8k",
        "evaluation_data_uri": "gs://staging/eval.jsonl",
        "evaluation_interval": 30,
        "enable_early_stopping": True,
        "enable_checkpoint_selection": True,
        "tensorboard_resource_id": _TENSORBOARD,
    }


def test_a_data_frame_is_uploaded_first(jobs: dict[str, Job]) -> None:
    parameters = _parameters(jobs["frame"])
    dataset = parameters["dataset_uri"]
    assert dataset.startswith("gs://staging/tuned_language_models/text-bison@002/tuned_model_")
    assert parameters == {
        "model_display_name": parameters["model_display_name"],
        "dataset_uri": dataset,
        "large_model_reference": "text-bison@002",
    }
    assert parameters["model_display_name"].startswith("text-bison@002 tuned on ")


def test_a_managed_dataset(jobs: dict[str, Job]) -> None:
    parameters = _parameters(jobs["dataset"])
    assert parameters["dataset_name"] == "projects/test-project/locations/us-central1/datasets/1234"
    assert parameters["large_model_reference"] == "text-bison@001"


def test_code(jobs: dict[str, Job]) -> None:
    assert jobs["code"]["pipelineSpec"]["pipelineInfo"]["name"] == "tune-large-model"
    parameters = _parameters(jobs["code"])
    assert parameters["large_model_reference"] == "code-bison@002"
    assert parameters["max_context_length"] == "32k"
    assert parameters["enable_checkpoint_selection"] is False


def test_chat_with_default_context(jobs: dict[str, Job]) -> None:
    assert jobs["chat"]["pipelineSpec"]["pipelineInfo"]["name"] == "tune-large-chat-model"
    parameters = _parameters(jobs["chat"])
    del parameters["model_display_name"]
    assert parameters == {
        "dataset_uri": "gs://staging/chat.jsonl",
        "large_model_reference": "chat-bison@002",
        "train_steps": 10,
        "learning_rate_multiplier": 2,
        "default_context": "Answer as a pirate.",
        "accelerator_type": "GPU",
        "tensorboard_resource_id": _TENSORBOARD,
    }


def test_code_chat(jobs: dict[str, Job]) -> None:
    assert jobs["codechat"]["pipelineSpec"]["pipelineInfo"]["name"] == "tune-large-chat-model"
    assert _parameters(jobs["codechat"])["large_model_reference"] == "codechat-bison@002"


def test_jobs_carry_the_key(jobs: dict[str, Job]) -> None:
    assert {job["encryptionSpec"]["kmsKeyName"] for job in jobs.values()} == {_KEY}
