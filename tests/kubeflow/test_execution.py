"""Runs that the local Kubeflow Pipelines really executes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kfp import Client, compiler

from kfp_llm_tuning.components.common import images
from kfp_llm_tuning.components.common.images import image_name
from kfp_llm_tuning.pipelines.kubeflow.connection import Connection
from kfp_llm_tuning.pipelines.kubeflow.service import KubeflowService
from tests.kubeflow import sample_pipelines
from tests.kubeflow.execution.kubeflow_runner import pending_reason
from tests.kubeflow.local_kubeflow import LocalKubeflow, local_kubeflow
from tests.vertex import sample_pipelines as vertex_pipelines
from tests.vertex.images import IMAGE, REGISTRY


@pytest.fixture
def kubeflow(tmp_path: Path) -> Iterator[LocalKubeflow]:
    with local_kubeflow(tmp_path / "kubeflow", execute=True) as server:
        yield server


Start = Callable[..., str]


@pytest.fixture
def start(client: Client, tmp_path: Path) -> Start:
    def run(pipeline: Any, **params: Any) -> str:
        path = str(tmp_path / "pipeline.yaml")
        compiler.Compiler().compile(pipeline, path)
        return str(client.create_run_from_pipeline_package(path, params).run_id)

    return run


def ended(client: Client, run: str) -> tuple[str, dict[str, str]]:
    """Waits for a run and gives its state and those of its tasks."""
    found = client.wait_for_run_completion(run, timeout=60, sleep_duration=0)
    tasks = found.run_details.task_details
    return found.state, {task.display_name: task.state for task in tasks}


def test_placeholders_are_filled_in_as_the_driver_does(
    kubeflow: LocalKubeflow, client: Client, start: Start
) -> None:
    run = start(sample_pipelines.placeholders)
    assert ended(client, run)[0] == "SUCCEEDED"
    (path,) = (kubeflow.backend.folder / "storage").rglob("executor_output.json")
    output = json.loads(path.read_text())["parameterValues"]["Output"]
    amid = "runs/{{$.pipeline_job_uuid}}"
    assert json.loads(output) == [run, amid, False, True]


def test_a_loop(client: Client, start: Start) -> None:
    state, tasks = ended(client, start(vertex_pipelines.looping))
    assert (state, tasks["double"], tasks["add"]) == ("SUCCEEDED", "SUCCEEDED", "SUCCEEDED")


def test_a_task_is_tried_again(client: Client, start: Start, tmp_path: Path) -> None:
    state, _ = ended(client, start(vertex_pipelines.retried, path=str(tmp_path / "tried")))
    assert state == "SUCCEEDED"


def test_a_failing_task_fails_the_run(client: Client, start: Start) -> None:
    state, tasks = ended(client, start(vertex_pipelines.failing))
    assert (state, tasks["fail"]) == ("FAILED", "FAILED")
    assert tasks["fail-2"] is None  # omitted


def test_a_run_is_terminated(
    client: Client, start: Start, kubeflow: LocalKubeflow, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    run = start(vertex_pipelines.waiting, path=str(begun))
    while not begun.exists():
        time.sleep(0.05)
    client.terminate_run(run)
    state, tasks = ended(client, run)
    assert (state, tasks["wait-forever"]) == ("FAILED", "FAILED")
    assert [one["state"] for one in kubeflow.runs[0]["state_history"]][-2:] == [
        "CANCELING",
        "FAILED",
    ]


def test_a_pod_whose_image_is_not_there_waits_until_its_run_is_terminated(
    client: Client, start: Start, kubeflow: LocalKubeflow, tmp_path: Path
) -> None:
    run = start(sample_pipelines.image_that_is_not_there, path=str(tmp_path / "touched"))
    service = KubeflowService(Connection(kubeflow.url))
    end = time.monotonic() + 60
    while not (waiting := [task for task in service.find_job(run).tasks if task.waits_for]):
        assert time.monotonic() < end
        time.sleep(0.1)
    (task,) = waiting
    assert task.waits_for.startswith(f'ImagePullBackOff: Back-off pulling image "{images.IMAGE}"')
    client.terminate_run(run)
    assert ended(client, run)[1]["touch"] == "FAILED"
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("image", "accelerator", "reason"),
    [
        (IMAGE, "", ""),
        ("python:3.11", "", ""),
        (image_name("gpu", REGISTRY), "nvidia.com/gpu", ""),
        (images.IMAGE, "", "ImagePullBackOff"),
        (images.SERVING_IMAGE, "nvidia.com/gpu", "ImagePullBackOff"),
        (image_name("tpu", REGISTRY), "", "ImagePullBackOff"),
        (image_name("gpu", REGISTRY), "google.com/tpu", "1 Insufficient google.com/tpu"),
    ],
)
def test_what_a_pod_waits_for(image: str, accelerator: str, reason: str) -> None:
    found = pending_reason(image, accelerator)
    assert (reason in found) if reason else not found
