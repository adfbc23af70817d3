"""Our components beside Google Cloud Pipeline Components, in one pipeline that really runs."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.cloud import aiplatform
from google.cloud.aiplatform_v1 import PipelineTaskDetail
from google_cloud_pipeline_components.types.artifact_types import UnmanagedContainerModel
from google_cloud_pipeline_components.v1.custom_job import (
    CustomTrainingJobOp,
    create_custom_training_job_from_component,
)
from google_cloud_pipeline_components.v1.endpoint import EndpointCreateOp, ModelDeployOp
from google_cloud_pipeline_components.v1.model import ModelUploadOp
from kfp import compiler, dsl

from kfp_llm_tuning.components.common import images
from kfp_llm_tuning.components.dataset import preprocess_dataset
from tests.vertex.images import IMAGE, REGISTRY
from tests.vertex.local_vertex import LocalVertex, local_vertex
from tests.vertex.sample_container import COMMAND

PROJECT = {"project": "test-project", "location": "us-central1"}
COUNT_ROWS = """
import os, sys, fsspec
with fsspec.open(sys.argv[1]) as rows:
    count = len(rows.read().splitlines())
with fsspec.open(os.environ["AIP_MODEL_DIR"] + "count.txt", "w") as out:
    out.write(str(count))
"""


def worker_pools(script: str, *arguments: str) -> list[dict[str, Any]]:
    return [
        {
            "machine_spec": {"machine_type": "e2-standard-4"},
            "replica_count": 1,
            "container_spec": {
                "image_uri": IMAGE,
                "command": ["python3", "-c", script],
                "args": list(arguments),
            },
        }
    ]


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def is_large_enough(preprocessed: dsl.Input[dsl.Dataset]) -> bool:
    from pathlib import Path

    with (Path(preprocessed.path) / "records.jsonl").open() as records:
        return len(records.readlines()) >= 10


# The same component as a CustomJob of its own.
is_large_enough_as_job = create_custom_training_job_from_component(
    is_large_enough, display_name="checker", machine_type="e2-standard-4"
)


@dsl.pipeline(name="mixed")
def mixed(dataset_uri: str, output: str) -> None:
    data = preprocess_dataset(large_model_reference="byte-tiny", dataset_uri=dataset_uri)
    checked = is_large_enough_as_job(preprocessed=data.outputs["preprocessed"])
    with dsl.If(checked.outputs["Output"] == True):  # noqa: E712 (kfp's condition)
        trained = CustomTrainingJobOp(
            display_name="trainer",
            worker_pool_specs=worker_pools(COUNT_ROWS, "gs://bucket/rows.jsonl"),
            base_output_directory=output,
            labels={"step": "train"},
        )
        model = dsl.importer(
            artifact_uri="gs://bucket/trained/model",
            artifact_class=UnmanagedContainerModel,
            metadata={"containerSpec": {"imageUri": IMAGE, "command": COMMAND}},
        ).after(trained)
        uploaded = ModelUploadOp(
            display_name="counted",
            unmanaged_container_model=model.output,
            labels={"step": "upload"},
        )
        endpoint = EndpointCreateOp(display_name="counted")
        ModelDeployOp(
            model=uploaded.outputs["model"],
            endpoint=endpoint.outputs["endpoint"],
            dedicated_resources_machine_type="e2-standard-4",
            dedicated_resources_min_replica_count=1,
            dedicated_resources_max_replica_count=1,
            traffic_split={"0": "100"},
        )


@dsl.pipeline(name="training")
def training() -> None:
    script = "import sys, time; open(sys.argv[1], 'w').close(); time.sleep(600)"
    CustomTrainingJobOp(
        display_name="trainer", worker_pool_specs=worker_pools(script, "started"), timeout="700s"
    )


@pytest.fixture
def vertex(tmp_path: Path) -> Iterator[LocalVertex]:
    with local_vertex(tmp_path / "vertex", execute=True) as running:
        running.storage.create_bucket("bucket")
        yield running


def submit(pipeline: Any, folder: Path, **parameters: Any) -> aiplatform.PipelineJob:
    template = folder / "pipeline.yaml"
    compiler.Compiler().compile(pipeline, str(template))
    text = template.read_text(encoding="utf-8")
    template.write_text(text.replace(images.REGISTRY, REGISTRY), encoding="utf-8")
    job = aiplatform.PipelineJob(
        display_name="run",
        template_path=str(template),
        pipeline_root="gs://bucket/root",
        parameter_values=parameters,
        labels={"team": "a"},
        **PROJECT,
    )
    job.submit()
    return job


def test_our_components_beside_googles(vertex: LocalVertex, tmp_path: Path) -> None:
    rows = [{"input_text": f"{number}?", "output_text": str(number)} for number in range(12)]
    (vertex.storage_folder / "bucket" / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    job = submit(
        mixed, tmp_path, dataset_uri="gs://bucket/rows.jsonl", output="gs://bucket/trained"
    )
    job.wait()

    states = {detail.task_name: detail.state.name for detail in job.task_details}
    assert set(states.values()) == {"SUCCEEDED"}, states
    assert set(states) >= {
        "preprocess-dataset",
        "custom-training-job",
        "importer",
        "model-upload",
        "endpoint-create",
        "model-deploy",
    }
    assert (vertex.storage_folder / "bucket/trained/model/count.txt").read_text() == "12"
    by_name = {job["displayName"]: job for job in vertex.resources("customJobs")}
    assert set(by_name) == {"checker", "trainer"}
    assert by_name["trainer"]["labels"].items() >= {"step": "train", "team": "a"}.items()
    (model,) = aiplatform.Model.list(**PROJECT)
    assert (model.display_name, model.uri) == ("counted", "gs://bucket/trained/model")
    assert model.labels.items() >= {"step": "upload", "team": "a"}.items()
    (endpoint,) = aiplatform.Endpoint.list(**PROJECT)
    (deployed,) = endpoint.list_models()
    assert deployed.model == model.resource_name
    assert set(endpoint.traffic_split.values()) == {100}


def test_cancelling_the_pipeline_cancels_its_custom_job(
    vertex: LocalVertex, tmp_path: Path
) -> None:
    job = submit(training, tmp_path)
    _until(lambda: any((vertex.backend.folder).glob("custom-job-*/started")))
    # The launcher takes the cancellation on once it has begun to poll.
    _until(lambda: any("GetCustomJob" in request.method for request in vertex.requests))
    job.cancel()
    _until(job.done)
    assert job.state == aiplatform.gapic.PipelineState.PIPELINE_STATE_CANCELLED
    (trainer,) = [task for task in job.task_details if task.task_name == "custom-training-job"]
    assert trainer.state == PipelineTaskDetail.State.CANCELLED
    _until(lambda: vertex.resources("customJobs")[0]["state"] == "JOB_STATE_CANCELLED")


def _until(condition: Any) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
