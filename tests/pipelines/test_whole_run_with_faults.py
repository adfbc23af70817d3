"""A whole run on two machines in which every call goes wrong: done once all the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipelines.conftest import EXAMPLE, Call
from tests.vertex.faults import Kind
from tests.vertex.local_vertex import LocalVertex, local_vertex

# What the run asks for, from the request to the answer of the deployed model.
CALLS = {
    "PipelineService.CreatePipelineJob",
    "PipelineService.GetPipelineJob",
    "JobService.ListCustomJobs",
    "JobService.CreateCustomJob",
    "JobService.GetCustomJob",
    "ModelService.UploadModel",
    "EndpointService.CreateEndpoint",
    "EndpointService.DeployModel",
    "Operations.GetOperation",
    "PredictionService.Predict",
    "storage.objects.get",
    "storage.objects.list",
    "storage.objects.insert",
    "storage.objects.delete",
}


@pytest.fixture
def vertex(tmp_path: Path) -> Iterator[LocalVertex]:
    with local_vertex(tmp_path, execute=True) as running:
        bucket = running.storage.create_bucket("bucket")
        for name, count in (("train", 24), ("evaluation", 10)):
            rows = (EXAMPLE / f"{name}.jsonl").read_text(encoding="utf-8").splitlines(True)
            (bucket / f"{name}.jsonl").write_text("".join(rows[:count]), encoding="utf-8")
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["quota", "internal", "unavailable", "reset"])
@pytest.mark.parametrize("after_commit", [False, True])
def test_a_run_on_two_machines_is_done_once(
    kind: Kind, after_commit: bool, vertex: LocalVertex, call: Call, job_words: list[str]
) -> None:
    vertex.faults.inject_everywhere(kind, after_commit)
    words = ["--evaluation-data-uri", "gs://bucket/evaluation.jsonl", "--train-steps", "4"]
    words += ["--tuning-machine-count", "2", "--wait", "--poll-seconds", "1"]
    result = call("submit", *job_words, *words)
    assert result.exit_code == 0, result.output
    assert vertex.faults.struck_everywhere >= CALLS
    (job,) = vertex.resources("pipelineJobs")
    assert job["state"] == "PIPELINE_STATE_SUCCEEDED"
    names = [job["displayName"].rpartition("-")[0] for job in vertex.resources("customJobs")]
    assert len(names) == len({*names}) == 3, names
    (version,) = [name for name in vertex.store if "/models/" in name and "@" in name]
    (endpoint,) = vertex.resources("endpoints")
    (deployed,) = endpoint["deployedModels"]
    assert deployed["model"] in version
