"""A whole run on two machines in which every call goes wrong: done once all the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.components.upload.test_vertex_faults import made
from tests.pipelines.conftest import EXAMPLE, Call
from tests.vertex.faults import Kind
from tests.vertex.local_vertex import LocalVertex, local_vertex

# What the run asks for, from the request to the answer of the deployed model. Operations are asked
# for too, where the answer that names one is not lost.
CALLS = {
    "PipelineService.CreatePipelineJob",
    "PipelineService.GetPipelineJob",
    "JobService.ListCustomJobs",
    "JobService.CreateCustomJob",
    "JobService.GetCustomJob",
    "ModelService.UploadModel",
    "EndpointService.CreateEndpoint",
    "EndpointService.DeployModel",
    "PredictionService.Predict",
    "storage.objects.get",
    "storage.objects.list",
    "storage.objects.insert",
}


@pytest.fixture
def vertex(tmp_path: Path) -> Iterator[LocalVertex]:
    with local_vertex(tmp_path, execute=True) as running:
        bucket = running.storage.create_bucket("bucket")
        rows = (EXAMPLE / "train.jsonl").read_text(encoding="utf-8").splitlines(True)
        (bucket / "train.jsonl").write_text("".join(rows[:24]), encoding="utf-8")
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["quota", "internal", "unavailable", "reset"])
@pytest.mark.parametrize("after_commit", [False, True])
def test_a_run_on_two_machines_is_done_once(
    kind: Kind, after_commit: bool, vertex: LocalVertex, call: Call, job_words: list[str]
) -> None:
    # A deployed model that answers with 500 is broken: that is told, and it is undeployed.
    spared = {"PredictionService.Predict"} if kind == "internal" else set[str]()
    vertex.faults.inject_everywhere(kind, after_commit, spared)
    words = ["--train-steps", "4", "--tuning-machine-count", "2", "--wait", "--poll-seconds", "1"]
    result = call("submit", *job_words, *words)
    assert result.exit_code == 0, result.output
    assert vertex.faults.struck_everywhere >= CALLS - spared
    vertex.faults.clear()
    (job,) = vertex.resources("pipelineJobs")
    assert job["state"] == "PIPELINE_STATE_SUCCEEDED"
    (tuner,) = vertex.resources("customJobs")
    pools = tuner["jobSpec"]["workerPoolSpecs"]
    assert [pool["replicaCount"] for pool in pools] == ["1", "1"]
    once = {"customJobs": 1, "versions": 1, "endpoints": 1, "deployments": 1}
    assert made(vertex).items() >= once.items()
