"""``jobs list|show|cancel`` against the local Vertex AI."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from tests.pipelines.conftest import Call
from tests.vertex.local_vertex import LocalVertex
from tests.vertex.runner_protocol import Event

PLACE = ["--project", "test-project", "--region", "us-central1"]
NAME = "projects/test-project/locations/us-central1/pipelineJobs/{}"


@pytest.fixture
def submit(vertex_server: LocalVertex, call: Call, job_words: list[str]) -> Callable[..., str]:
    def send(job_id: str, *words: str) -> str:
        call("submit", *job_words, "--job-id", job_id, *words)
        return NAME.format(job_id)

    return send


def test_list(call: Call, submit: Callable[..., str]) -> None:
    submit("job-1")
    submit("job-2", "--model-display-name", "other", "--label", "team=a")
    lines = call("jobs", "list", *PLACE).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["JOB", "job-2", "job-1"]
    assert lines[1].split()[1:4] == ["pending", "tune-large-model", "other"]
    for words in (["--model", "other"], ["--label", "team=a"], ["--limit", "1"]):
        found = json.loads(call("jobs", "list", *PLACE, "--json", *words).stdout)
        assert [job["display_name"] for job in found] == ["other"]
    assert call("jobs", "list", *PLACE, "--state", "failed").stdout == "No jobs.\n"


def test_show_tells_what_failed_and_what_to_do(
    vertex_server: LocalVertex, call: Call, submit: Callable[..., str]
) -> None:
    name = submit("job-1")
    quota = "The following quotas are exceeded: CustomModelTrainingA100GPUs"
    tuner = ("tuning-graph", "large-language-model-tuner")
    vertex_server.report(name, Event(("validate-pipeline",), "SUCCEEDED"))
    vertex_server.report(name, Event(tuner, "FAILED", error=quota))
    vertex_server.report(name, Event((), "FAILED", error="The DAG failed."))
    printed = call("jobs", "show", name).stdout
    assert printed.startswith(f"{name}\n  name      router\n")
    assert "large-language-model-tuner  failed" in printed
    assert "tuning-graph" not in printed
    assert f"large-language-model-tuner: {quota}" in printed


def test_show_as_json(call: Call, submit: Callable[..., str]) -> None:
    submit("job-1")
    found = json.loads(call("jobs", "show", "job-1", *PLACE, "--json").stdout)
    assert (found["name"], found["state"]) == (NAME.format("job-1"), "pending")


def test_cancel(vertex_server: LocalVertex, call: Call, submit: Callable[..., str]) -> None:
    name = submit("job-1")
    assert call("jobs", "cancel", name).stdout == "Vertex AI was asked to cancel job-1.\n"
    (job,) = vertex_server.resources("pipelineJobs")
    assert job["state"] == "PIPELINE_STATE_CANCELLED"


def test_mistakes(vertex_server: LocalVertex, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="could not read the job none"):
        call("jobs", "show", "none", *PLACE)
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    assert "Give --project" in call("jobs", "list").output
