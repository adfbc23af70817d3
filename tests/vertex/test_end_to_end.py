"""The checked-in templates, submitted by Google's SDK and really run by the local Vertex AI."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.cloud import aiplatform
from google.cloud.aiplatform_v1 import PipelineTaskDetail

from tests.vertex.local_vertex import LocalVertex, local_vertex
from tests.vertex.runner_protocol import job_uuid
from tests.vertex.templates import templates_with_registry

REPOSITORY = Path(__file__).parents[2]
TEMPLATES = templates_with_registry()
EXAMPLES = REPOSITORY / "examples" / "support"
PUBLISHED_TASKS = {
    "validate-pipeline",
    "tuning-graph",
    "export-managed-dataset",
    "preprocess-dataset",
    "dataset-encoder",
    "evaluation-dataset-encoder",
    "compose-params-for-model-tuner",
    "large-language-model-tuner",
    "deployment-graph",
    "upload-llm-model",
    "create-endpoint-and-deploy-model",
}
TUNER_ARGUMENTS = {"batch_size": 4, "warmup_ratio": 0.25}
LABEL = "google-vertex-llm-tuning-base-model-id"


@pytest.fixture
def vertex(tmp_path: Path) -> Iterator[LocalVertex]:
    with local_vertex(tmp_path, execute=True) as running:
        running.storage.create_bucket("bucket")
        yield running


def put_examples(vertex: LocalVertex, name: str, count: int) -> str:
    lines = (EXAMPLES / name).read_text(encoding="utf-8").splitlines(keepends=True)
    (vertex.storage_folder / "bucket" / name).write_text("".join(lines[:count]), encoding="utf-8")
    return f"gs://bucket/{name}"


def submit(
    template: str, location: str = "us-central1", **parameters: Any
) -> aiplatform.PipelineJob:
    job = aiplatform.PipelineJob(
        display_name="run",
        template_path=str(TEMPLATES / f"{template}.yaml"),
        pipeline_root="gs://bucket/root",
        parameter_values={
            "project": "test-project",
            "model_display_name": "support-router",
            "large_model_reference": "byte-tiny",
            "train_steps": 2,
            **parameters,
        },
        labels={"team": "support"},
        project="test-project",
        location=location,
    )
    job.submit()
    return job


def output(job: aiplatform.PipelineJob, task: str, name: str) -> str:
    """Finds a task's output as the Google SDKs do."""
    (value,) = (
        detail.execution.metadata[f"output:{name}"]
        for detail in job.task_details
        if detail.task_name == task
    )
    return str(value)


def succeeded(job: aiplatform.PipelineJob) -> set[str]:
    state = PipelineTaskDetail.State.SUCCEEDED
    return {detail.task_name for detail in job.task_details if detail.state == state}


def test_text_with_an_evaluation_set_and_tensorboard(vertex: LocalVertex) -> None:
    board = aiplatform.Tensorboard.create(
        "board", project="test-project", location="us-central1"
    ).resource_name
    job = submit(
        "tune-large-model",
        dataset_uri=put_examples(vertex, "train.jsonl", 60),
        evaluation_data_uri=put_examples(vertex, "evaluation.jsonl", 12),
        evaluation_interval=1,
        tensorboard_resource_id=board,
        tuner_arguments=TUNER_ARGUMENTS,
    )
    job.wait()

    assert job.state == aiplatform.gapic.PipelineState.PIPELINE_STATE_SUCCEEDED
    assert succeeded(job) >= PUBLISHED_TASKS | {"tensorboard-uploader"}
    model_name = output(job, "upload-llm-model", "model_resource_name")
    assert model_name == output(job, "deployment-graph", "model_resource_name")
    (model,) = aiplatform.Model.list(
        filter=f"labels.{LABEL}:*", project="test-project", location="us-central1"
    )
    assert model_name == f"{model.resource_name}@1"
    assert (model.display_name, model.labels["team"]) == ("support-router", "support")
    assert model.labels[LABEL].rpartition("-")[0] == "byte-tiny"

    _check_tuner(vertex, job, "us-central1", "NVIDIA_A100_80GB")
    assert _payload(vertex).items() >= TUNER_ARGUMENTS.items()
    _check_predictors(vertex, job)
    endpoint = aiplatform.Endpoint(output(job, "deployment-graph", "endpoint_resource_name"))
    assert endpoint.display_name == "support-router"
    answers = endpoint.predict(
        [{"prompt": "My card was charged twice."}, {"prefix": "def f("}],
        parameters={"maxOutputTokens": 5, "temperature": 0.2},
    ).predictions
    assert [set(answer) for answer in answers] == [
        {"content", "safetyAttributes", "citationMetadata"}
    ] * 2
    assert calls(vertex).count("PredictionService.Predict") == 2
    experiments = vertex.resources("experiments")
    assert [experiment["name"].startswith(board) for experiment in experiments] == [True]
    tags = {series["displayName"] for series in vertex.resources("timeSeries")}
    assert "/eval_fraction_of_correct_next_step_preds" in tags


def _check_tuner(
    vertex: LocalVertex, job: aiplatform.PipelineJob, location: str, accelerator: str
) -> None:
    tuner = tuner_of(vertex)
    assert tuner["state"] == "JOB_STATE_SUCCEEDED"
    assert f"/locations/{location}/" in tuner["name"]
    name = f"large-language-model-tuner-{job_uuid(job.resource_name)}-"
    assert tuner["displayName"].startswith(name)
    assert tuner["labels"]["team"] == "support"
    (pool,) = tuner["jobSpec"]["workerPoolSpecs"]
    assert pool["machineSpec"]["acceleratorType"] == accelerator


def _payload(vertex: LocalVertex) -> dict[str, Any]:
    """Reads the arguments of the tuner from the command of its job."""
    (pool,) = tuner_of(vertex)["jobSpec"]["workerPoolSpecs"]
    words = pool["containerSpec"]["args"]
    arguments: dict[str, Any] = json.loads(words[words.index("--payload") + 1])
    return arguments


def _check_predictors(vertex: LocalVertex, job: aiplatform.PipelineJob) -> None:
    """Both models are asked in the region of the pipeline, in an image with vLLM."""
    jobs = {one["displayName"]: one for one in vertex.resources("customJobs")}
    for which in ("base", "tuned"):
        predictor = jobs[f"batch-predict-{which}-{job_uuid(job.resource_name)}"]
        assert predictor["state"] == "JOB_STATE_SUCCEEDED"
        (pool,) = predictor["jobSpec"]["workerPoolSpecs"]
        assert pool["machineSpec"]["acceleratorType"] == "NVIDIA_L4"
        assert "kfp-llm-tuning-serving-gpu:" in pool["containerSpec"]["imageUri"]


@pytest.mark.slow
@pytest.mark.parametrize("gate", [{}, {"gate_metric": "exact_match", "gate_threshold": 0.0}])
def test_without_quota_for_predictions_only_a_gate_keeps_the_model_out(
    vertex: LocalVertex, gate: dict[str, Any]
) -> None:
    metric = "aiplatform.googleapis.com/custom_model_training_nvidia_l4_gpus"
    vertex.project_facts.quotas[metric] = {"us-central1": 0}
    job = submit(
        "tune-large-model",
        # Forms that the published templates take.
        dataset_uri=put_examples(vertex, "train.jsonl", 60).replace("gs://", "/gcs/"),
        evaluation_data_uri=put_examples(vertex, "evaluation.jsonl", 12).replace("gs://", "/gcs/"),
        **gate,
    )
    with contextlib.suppress(RuntimeError):
        job.wait()
    models = aiplatform.Model.list(project="test-project", location="us-central1")
    if gate:
        assert job.state == aiplatform.gapic.PipelineState.PIPELINE_STATE_FAILED
        assert not models
        (failed,) = (
            task.error.message for task in job.task_details if task.task_name == "batch-predict"
        )
        assert metric in failed
        return
    assert job.state == aiplatform.gapic.PipelineState.PIPELINE_STATE_SUCCEEDED
    assert succeeded(job) >= PUBLISHED_TASKS
    assert len(models) == 1
    report = next(vertex.storage_folder.glob("bucket/**/evaluate-model_*/report"))
    assert metric in report.read_text(encoding="utf-8")


def tuner_of(vertex: LocalVertex) -> dict[str, Any]:
    (tuner,) = (
        job
        for job in vertex.resources("customJobs")
        if job["displayName"].startswith("large-language-model-tuner-")
    )
    return tuner


def calls(vertex: LocalVertex) -> list[str]:
    """Every call so far: one of them is the prediction that ends a deployment."""
    return [request.method for request in vertex.requests]


@pytest.mark.slow
def test_chat(vertex: LocalVertex) -> None:
    rows = [
        {
            "context": "Be brief.",
            "messages": [
                {"author": "user", "content": f"Is {number} odd?"},
                {"author": "assistant", "content": "yes" if number % 2 else "no"},
            ],
        }
        for number in range(40)
    ]
    chats = "".join(json.dumps(row) + "\n" for row in rows)
    (vertex.storage_folder / "bucket" / "chat.jsonl").write_text(chats, encoding="utf-8")
    job = submit(
        "tune-large-chat-model", dataset_uri="gs://bucket/chat.jsonl", default_context="Be kind."
    )
    job.wait()
    assert succeeded(job) >= PUBLISHED_TASKS
    endpoint = aiplatform.Endpoint(output(job, "deployment-graph", "endpoint_resource_name"))
    instance = {
        "context": "Be brief.",
        "examples": [{"input": {"content": "Is 1 odd?"}, "output": {"content": "yes"}}],
        "messages": [
            {"author": "user", "content": "Is 3 odd?"},
            {"author": "bot", "content": "yes"},
            {"author": "user", "content": "Is 4?"},
        ],
    }
    (answer,) = endpoint.predict([instance], parameters={"maxDecodeSteps": 5}).predictions
    assert isinstance(answer["candidates"][0]["content"], str)


@pytest.mark.slow
def test_a_region_without_gpus_tunes_in_another(vertex: LocalVertex) -> None:
    job = submit(
        "tune-large-model",
        location="us-west1",
        accelerator_type="GPU",
        dataset_uri=put_examples(vertex, "train.jsonl", 60),
    )
    job.wait()
    assert succeeded(job) >= PUBLISHED_TASKS
    _check_tuner(vertex, job, "us-central1", "NVIDIA_A100_80GB")
    assert "/locations/us-west1/" in output(job, "upload-llm-model", "model_resource_name")


@pytest.mark.slow
@pytest.mark.parametrize(("location", "accelerator"), [("us-west1", "TPU"), ("europe-west4", "")])
def test_a_request_for_tpu_ends_in_its_first_task(
    vertex: LocalVertex, location: str, accelerator: str
) -> None:
    job = submit(
        "tune-large-model",
        location=location,
        accelerator_type=accelerator,
        dataset_uri=put_examples(vertex, "train.jsonl", 60),
    )
    with pytest.raises(RuntimeError):
        job.wait()
    states = {detail.task_name: detail for detail in job.task_details}
    failed = states["validate-pipeline"]
    assert failed.state == PipelineTaskDetail.State.FAILED
    assert "no engine of this version tunes on TPU" in failed.error.message
    assert vertex.resources("customJobs") == []


@pytest.mark.slow
@pytest.mark.parametrize(("machines", "lost"), [(1, 0), (2, 0), (2, 1)])
def test_a_tuner_one_of_whose_machines_is_taken_away_goes_on(
    vertex: LocalVertex, machines: int, lost: int
) -> None:
    job = submit(
        "tune-large-model",
        dataset_uri=put_examples(vertex, "train.jsonl", 60),
        train_steps=45,
        tuning_machine_count=machines,
    )
    checkpoints = vertex.storage_folder / "bucket/root" / str(job_uuid(job.resource_name))
    complete = checkpoints / "checkpoints" / "step-20" / "complete.json"
    while not complete.exists():
        assert not job.done()
        time.sleep(0.02)
    tuner = tuner_of(vertex)
    pools = tuner["jobSpec"]["workerPoolSpecs"]
    assert [int(pool["replicaCount"]) for pool in pools] == [1] * machines
    os.kill(vertex.backend.handles[tuner["name"]].pids[lost], signal.SIGKILL)
    job.wait()
    assert succeeded(job) >= PUBLISHED_TASKS
    log = next((vertex.backend.folder).glob("custom-job-*/workerpool0-0.log")).read_text()
    assert log.count("Tuning byte-tiny") == 2
    assert "Going on from step" in log
    (model,) = aiplatform.Model.list(project="test-project", location="us-central1")
    assert model.display_name == "support-router"
