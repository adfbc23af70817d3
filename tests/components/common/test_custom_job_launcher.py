"""The launcher of CustomJobs: a task that is tried again finds the job that it started."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from kfp_llm_tuning.components.common import custom_jobs
from kfp_llm_tuning.components.common.custom_job_launcher import launch
from kfp_llm_tuning.components.common.errors import UserError
from tests.vertex.images import IMAGE
from tests.vertex.local_vertex import LocalVertex
from tests.vertex.runner_protocol import State

POOL = {
    "machine_spec": {"machine_type": "e2-standard-4"},
    "replica_count": 1,
    "container_spec": {"image_uri": IMAGE},
}


@pytest.fixture
def vertex(
    vertex_server: LocalVertex, monkeypatch: pytest.MonkeyPatch, no_backoff: None
) -> LocalVertex:
    monkeypatch.setattr(custom_jobs, "_LATE_SECONDS", 0.0)
    return vertex_server


def launch_job(folder: Path, name: str = "tuner") -> None:
    payload = {"display_name": name, "job_spec": {"worker_pool_specs": [POOL, POOL]}}
    options = {
        "--type": "CustomJob",
        "--payload": json.dumps(payload),
        "--project": "test-project",
        "--location": "us-central1",
        "--gcp_resources": str(folder / "gcp_resources"),
    }
    launch([word for option in options.items() for word in option])


def ends(vertex: LocalVertex, state: State = "SUCCEEDED") -> None:
    """Ends the next job that is there, by and by."""

    def end() -> None:
        while not (running := [job for job in jobs(vertex) if "endTime" not in job]):
            time.sleep(0.01)
        vertex.finish(str(running[0]["name"]), state)

    threading.Thread(target=end, daemon=True).start()


def jobs(vertex: LocalVertex) -> list[dict[str, object]]:
    return vertex.resources("customJobs")


def test_the_job_is_written_down_and_waited_for(vertex: LocalVertex, tmp_path: Path) -> None:
    ends(vertex)
    launch_job(tmp_path)
    (job,) = jobs(vertex)
    assert str(job["name"]) in (tmp_path / "gcp_resources").read_text()


def test_a_task_that_lost_its_record_finds_its_job(vertex: LocalVertex, tmp_path: Path) -> None:
    ends(vertex)
    launch_job(tmp_path)
    (tmp_path / "gcp_resources").unlink()
    launch_job(tmp_path)
    assert len(jobs(vertex)) == 1


def test_other_work_is_another_job(vertex: LocalVertex, tmp_path: Path) -> None:
    for name in ("tuner", "another"):
        ends(vertex)
        launch_job(tmp_path, name)
    assert len(jobs(vertex)) == 2


def test_a_job_that_failed_is_made_anew(vertex: LocalVertex, tmp_path: Path) -> None:
    ends(vertex, "FAILED")
    with pytest.raises(SystemExit):
        launch_job(tmp_path)
    ends(vertex)
    launch_job(tmp_path)
    assert [job["state"] for job in jobs(vertex)] == ["JOB_STATE_FAILED", "JOB_STATE_SUCCEEDED"]


def test_what_the_project_may_not_have_is_told_at_once(
    vertex: LocalVertex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = {"machine_type": "a2-ultragpu-8g", "accelerator_type": "NVIDIA_A100_80GB"}
    monkeypatch.setitem(POOL, "machine_spec", {**gpu, "accelerator_count": 8})
    metric = "aiplatform.googleapis.com/custom_model_training_nvidia_a100_80gb_gpus"
    monkeypatch.setitem(vertex.project_facts.quotas, metric, {"us-central1": 8})
    with pytest.raises(UserError, match="Ask for more quota"):
        launch_job(tmp_path)
    assert [call.method for call in vertex.requests].count("JobService.CreateCustomJob") == 1
