"""Jobs against the local Vertex AI: whatever goes wrong, there is one job or a clear error."""

from __future__ import annotations

from typing import Any

import pytest
from google.cloud.aiplatform_v1.types import PipelineJob

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.vertex import Vertex
from kfp_llm_tuning.pipelines.vertex import jobs
from kfp_llm_tuning.pipelines.vertex.job_request import pipeline_job_message
from tests.vertex.faults import Kind
from tests.vertex.local_vertex import LocalVertex

CALLS = ("PipelineService.GetPipelineJob", "PipelineService.CreatePipelineJob")
RETRIED = ("unavailable", "quota", "reset", "slow", "duplicate")


@pytest.fixture
def message(job_body: dict[str, Any]) -> PipelineJob:
    return pipeline_job_message(job_body)


@pytest.mark.parametrize("after_commit", [False, True])
@pytest.mark.parametrize("kind", RETRIED)
@pytest.mark.parametrize("method", CALLS)
def test_a_fault_at_any_call_leaves_one_job(
    vertex_server: LocalVertex,
    no_backoff: None,
    place: Vertex,
    message: PipelineJob,
    method: str,
    kind: Kind,
    after_commit: bool,
) -> None:
    vertex_server.faults.inject(method, kind, 2, after_commit, seconds=0.1)
    made = jobs.create(place, "job-1", message)
    assert [job["name"] for job in vertex_server.resources("pipelineJobs")] == [made.name]


@pytest.mark.parametrize("kind", ["unavailable", "quota", "reset", "permission"])
def test_a_fault_that_stays_is_told_and_the_same_command_goes_on(
    vertex_server: LocalVertex, no_backoff: None, place: Vertex, message: PipelineJob, kind: Kind
) -> None:
    vertex_server.faults.inject(CALLS[1], kind, 1000, after_commit=True)
    vertex_server.faults.inject(CALLS[0], kind, 1000)
    with pytest.raises(UserError) as caught:
        jobs.create(place, "job-1", message)
    assert "could not start the job job-1" in str(caught.value)
    vertex_server.faults.clear()
    jobs.create(place, "job-1", message)
    assert len(vertex_server.resources("pipelineJobs")) == 1


def test_the_id_of_another_job_is_refused(
    vertex_server: LocalVertex, place: Vertex, message: PipelineJob
) -> None:
    jobs.create(place, "job-1", message)
    message.runtime_config.parameter_values["train_steps"] = 7
    with pytest.raises(UserError, match="job-1 is the id of another job"):
        jobs.create(place, "job-1", message)
    assert len(vertex_server.resources("pipelineJobs")) == 1


def test_what_vertex_refuses_is_told(
    vertex_server: LocalVertex, place: Vertex, message: PipelineJob
) -> None:
    message.runtime_config.parameter_values["train_stps"] = 7
    with pytest.raises(UserError, match="could not start the job job-1: .*train_stps"):
        jobs.create(place, "job-1", message)


def test_filters(vertex_server: LocalVertex, place: Vertex, message: PipelineJob) -> None:
    message.labels["team"] = "a"
    first = jobs.create(place, "job-1", message)
    message.labels["team"] = "b"
    message.runtime_config.parameter_values["model_display_name"] = 'the "other"'
    second = jobs.create(place, "job-2", message)
    vertex_server.finish(first.name)

    def found(**chosen: Any) -> list[str]:
        listed = jobs.list_jobs(place, jobs.JobFilter(**chosen))
        return [job.name.rpartition("/")[2] for job in listed]

    assert found() == ["job-2", "job-1"]
    assert found(state="succeeded") == ["job-1"]
    assert found(state="running") == []
    assert found(template="tune-large-model") == ["job-2", "job-1"]
    assert found(template="tune-large-chat-model") == []
    assert found(model='the "other"') == ["job-2"]
    assert found(labels={"team": "a"}, template="tune-large-model") == ["job-1"]
    assert found(labels={"team": 'x" OR state="'}) == []
    assert second.name.endswith("job-2")


def test_cancel(vertex_server: LocalVertex, place: Vertex, message: PipelineJob) -> None:
    made = jobs.create(place, "job-1", message)
    jobs.cancel(place, "job-1")
    assert jobs.find(place, made.name).state.name == "PIPELINE_STATE_CANCELLED"
    with pytest.raises(UserError, match="job-1 has ended already"):
        jobs.cancel(place, "job-1")


def test_no_such_job(vertex_server: LocalVertex, place: Vertex) -> None:
    with pytest.raises(UserError, match="could not read the job none"):
        jobs.find(place, "none")


def test_over_rest(vertex_server: LocalVertex, no_backoff: None, message: PipelineJob) -> None:
    """An endpoint with http:// is called over REST, whose connection errors are others."""
    rest = Vertex("test-project", "us-central1", vertex_server.rest_url)
    vertex_server.faults.inject(CALLS[1], "reset", 1, after_commit=True)
    jobs.create(rest, "job-1", message)
    assert len(vertex_server.resources("pipelineJobs")) == 1
