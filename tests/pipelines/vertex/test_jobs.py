"""Jobs against the local Vertex AI: whatever goes wrong, there is one job or a clear error."""

from __future__ import annotations

from typing import Any

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.vertex import Vertex
from kfp_llm_tuning.pipelines.vertex import jobs
from tests.vertex.faults import Kind
from tests.vertex.local_vertex import LocalVertex

CALLS = ("PipelineService.GetPipelineJob", "PipelineService.CreatePipelineJob")
RETRIED = ("unavailable", "quota", "reset", "slow", "duplicate")


@pytest.mark.parametrize("after_commit", [False, True])
@pytest.mark.parametrize("kind", RETRIED)
@pytest.mark.parametrize("method", CALLS)
def test_a_fault_at_any_call_leaves_one_job(
    vertex_server: LocalVertex,
    no_backoff: None,
    place: Vertex,
    job_body: dict[str, Any],
    method: str,
    kind: Kind,
    after_commit: bool,
) -> None:
    vertex_server.faults.inject(method, kind, 2, after_commit, seconds=0.1)
    made = jobs.create(place, "job-1", job_body)
    assert [job["name"] for job in vertex_server.resources("pipelineJobs")] == [made.name]


@pytest.mark.parametrize("kind", ["unavailable", "quota", "reset", "permission"])
def test_a_fault_that_stays_is_told_and_the_same_command_goes_on(
    vertex_server: LocalVertex,
    no_backoff: None,
    place: Vertex,
    job_body: dict[str, Any],
    kind: Kind,
) -> None:
    vertex_server.faults.inject(CALLS[1], kind, 1000, after_commit=True)
    vertex_server.faults.inject(CALLS[0], kind, 1000)
    with pytest.raises(UserError) as caught:
        jobs.create(place, "job-1", job_body)
    assert "could not start the job job-1" in str(caught.value)
    vertex_server.faults.clear()
    jobs.create(place, "job-1", job_body)
    assert len(vertex_server.resources("pipelineJobs")) == 1


def test_the_id_of_another_job_is_refused(
    vertex_server: LocalVertex, place: Vertex, job_body: dict[str, Any]
) -> None:
    jobs.create(place, "job-1", job_body)
    job_body["runtimeConfig"]["parameterValues"]["train_steps"] = 7
    with pytest.raises(UserError, match="job-1 is the id of another job"):
        jobs.create(place, "job-1", job_body)
    assert len(vertex_server.resources("pipelineJobs")) == 1


def test_what_vertex_refuses_is_told(
    vertex_server: LocalVertex, place: Vertex, job_body: dict[str, Any]
) -> None:
    job_body["runtimeConfig"]["parameterValues"]["train_stps"] = 7
    with pytest.raises(UserError, match="could not start the job job-1: .*train_stps"):
        jobs.create(place, "job-1", job_body)


def test_filters(vertex_server: LocalVertex, place: Vertex, job_body: dict[str, Any]) -> None:
    job_body["labels"] = {"team": "a"}
    first = jobs.create(place, "job-1", job_body)
    job_body["labels"] = {"team": "b"}
    job_body["runtimeConfig"]["parameterValues"]["model_display_name"] = 'the "other"'
    second = jobs.create(place, "job-2", job_body)
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


def test_cancel(vertex_server: LocalVertex, place: Vertex, job_body: dict[str, Any]) -> None:
    made = jobs.create(place, "job-1", job_body)
    jobs.cancel(place, "job-1")
    assert jobs.find(place, made.name).state.name == "PIPELINE_STATE_CANCELLED"
    with pytest.raises(UserError, match="job-1 has ended already"):
        jobs.cancel(place, "job-1")


def test_no_such_job(vertex_server: LocalVertex, place: Vertex) -> None:
    with pytest.raises(UserError, match="could not read the job none"):
        jobs.find(place, "none")


def test_over_rest(vertex_server: LocalVertex, no_backoff: None, job_body: dict[str, Any]) -> None:
    """An endpoint with http:// is called over REST, whose connection errors are others."""
    rest = Vertex("test-project", "us-central1", vertex_server.rest_url)
    vertex_server.faults.inject(CALLS[1], "reset", 1, after_commit=True)
    jobs.create(rest, "job-1", job_body)
    assert len(vertex_server.resources("pipelineJobs")) == 1


def test_a_persistent_resource_goes_over_the_beta(
    vertex_server: LocalVertex, place: Vertex, job_body: dict[str, Any]
) -> None:
    detail = {"persistentResourceName": f"{place.parent}/persistentResources/machines"}
    job_body["runtimeConfig"]["defaultRuntime"] = {"persistentResourceRuntimeDetail": detail}
    made = jobs.create(place, "job-1", job_body)
    assert jobs.find(place, "job-1").name == made.name
    sent = next(one for one in vertex_server.requests if one.method.endswith("CreatePipelineJob"))
    runtime = sent.body["pipelineJob"]["runtimeConfig"]["defaultRuntime"]
    assert runtime["persistentResourceRuntimeDetail"] == detail
