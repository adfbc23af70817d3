"""PipelineService: jobs that run for real, or whose states a test sets."""

from __future__ import annotations

from typing import Any

from google.cloud import aiplatform_v1
from google.protobuf import json_format
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from tests.vertex import errors, runner_protocol
from tests.vertex.backend import Backend, Call, check_id, handles, require
from tests.vertex.runner_protocol import Event
from tests.vertex.services import checks, generic, lineage, paging, task_details
from tests.vertex.services.pipeline_checks import check_job

PipelineJob = aiplatform_v1.PipelineJob.pb()
State = aiplatform_v1.PipelineState

_ID_PATTERN = r"[a-z][a-z0-9-]{0,127}"
FINAL_STATES = {
    State.PIPELINE_STATE_SUCCEEDED,
    State.PIPELINE_STATE_FAILED,
    State.PIPELINE_STATE_CANCELLED,
}
_FAILED_PRECONDITION, _CANCELLED = 9, 1  # google.rpc.Code
_BILLING_LABEL = "vertex-ai-pipelines-run-billing-id"


@handles("PipelineService.CreatePipelineJob")
def create_job(call: Call, request: Any) -> Message:
    """Check a job, store it and start it."""
    return submit(call, request)


def submit(call: Call, request: Any, schedule_name: str = "") -> Message:
    """Check a job, store it and start it.

    Args:
        call: The call.
        request: The request.
        schedule_name: The schedule that starts it.

    Returns:
        The stored job.
    """
    checks.check_parent(call, request.parent)
    require(request, "pipeline_job")
    job = request.pipeline_job
    check_job(call, job)
    job_id = request.pipeline_job_id or _new_id(call, request.parent, job)
    check_id("pipeline_job_id", job_id, _ID_PATTERN)
    name = f"{request.parent}/pipelineJobs/{job_id}"
    job.display_name = job.display_name or job_id
    job.state, job.schedule_name = State.PIPELINE_STATE_PENDING, schedule_name
    checks.check_labels(job)
    job.labels[_BILLING_LABEL] = str(runner_protocol.job_uuid(name))
    job.ClearField("job_detail")
    lineage.add_run_contexts(call, name, job)
    generic.add(call, name, job)
    _start(call.backend, name)
    return call.store.fetch(name, PipelineJob)


@handles("PipelineService.GetPipelineJob")
def get_job(call: Call, request: Any) -> Message:
    """Give a job with the contexts as they are now."""
    checks.check_project(call, request.name)
    job = call.store.fetch(request.name, PipelineJob)
    run_context = job.job_detail.pipeline_run_context
    if run_context.name in call.store:
        run_context.CopyFrom(call.store[run_context.name])
    return job


@handles("PipelineService.ListPipelineJobs")
def list_jobs(call: Call, request: Any) -> Message:
    """List jobs, the newest first, without task details."""
    checks.check_parent(call, request.parent)
    jobs = call.store.children(request.parent, "pipelineJobs", PipelineJob)[::-1]
    response = paging.page(call, request, jobs, virtual=_VIRTUAL_FIELDS)
    shown = {path.split(".")[0] for path in request.read_mask.paths}
    for job in response.pipeline_jobs:
        job.job_detail.ClearField("task_details")
        for field, _ in job.ListFields():
            if shown and field.name not in shown | {"name"}:
                job.ClearField(field.name)
    return response


@handles("PipelineService.CancelPipelineJob")
def cancel_job(call: Call, request: Any) -> Message:
    """Cancel a job that has not ended."""
    checks.check_project(call, request.name)
    _cancel(call, request.name)
    return Empty()


@handles("PipelineService.DeletePipelineJob")
def delete_job(call: Call, request: Any) -> Message:
    """Delete a job that has ended."""
    checks.check_project(call, request.name)
    _delete(call, request.name)
    return call.operation(request.name, Empty(), "DeleteOperationMetadata")


@handles("PipelineService.BatchDeletePipelineJobs", "PipelineService.BatchCancelPipelineJobs")
def change_many(call: Call, request: Any) -> Message:
    """Delete or cancel several jobs."""
    deletes = "Delete" in call.method.name
    kind = "BatchDeletePipelineJobsResponse" if deletes else "BatchCancelPipelineJobsResponse"
    response: Any = getattr(aiplatform_v1, kind).pb()()
    jobs = [call.store.fetch(name, PipelineJob) for name in request.names]
    for job in jobs:
        (_delete if deletes else _cancel)(call, job.name)
        response.pipeline_jobs.append(job if deletes else call.store.fetch(job.name, PipelineJob))
    return call.operation(f"{request.parent}/pipelineJobs/-", response)


def report(backend: Backend, name: str, event: Event) -> None:
    """Take an event of a run.

    Args:
        backend: The state.
        name: The job.
        event: What happened.
    """
    with backend.store.lock:
        if name not in backend.store:
            return
        job = backend.store.fetch(name, PipelineJob)
        if job.state in FINAL_STATES:
            return
        at = event.time or backend.clock.now()
        detail = task_details.note_task(job, event, at)
        if not event.path:
            _note_run(job, event, at)
        job.update_time.FromDatetime(at)
        backend.store.put(name, job)
        lineage.note_task(backend, job, detail)
        ended = job.state in FINAL_STATES
    if ended:
        backend.handles.pop(name, None)
        for listener in backend.job_end_listeners:
            listener(name)


def _note_run(job: Any, event: Event, at: Any) -> None:
    job.state = getattr(State, f"PIPELINE_STATE_{event.state}")
    if event.state == "RUNNING" or not job.HasField("start_time"):
        job.start_time.FromDatetime(at)
    if job.state in FINAL_STATES:
        job.end_time.FromDatetime(at)
        task_details.end_open_tasks(job, at)
    if event.state == "FAILED":
        job.error.code = _FAILED_PRECONDITION
        job.error.message = _failure(job, event)
    if event.state == "CANCELLED":
        job.error.code, job.error.message = _CANCELLED, "The job was cancelled by the user."


def _failure(job: Any, event: Event) -> str:
    failed_state = task_details.TaskDetail.State.FAILED
    root = runner_protocol.task_uuid(job.name, ())
    failed = [
        detail.task_name
        for detail in job.job_detail.task_details
        if detail.state == failed_state and detail.task_id != root
    ]
    summary = "The DAG failed because some tasks failed. The failed tasks are: "
    return f"{summary}[{', '.join(failed)}].; {event.error}"


def _start(backend: Backend, name: str) -> None:
    if backend.runner is None:
        return
    job = json_format.MessageToDict(backend.store[name])
    folder = backend.folder / name.rsplit("/", 1)[-1]
    folder.mkdir(parents=True)
    handle = backend.runner.start_pipeline(
        job, backend.environment, folder, lambda event: report(backend, name, event)
    )
    backend.handles[name] = handle


def _cancel(call: Call, name: str) -> None:
    job = call.store.fetch(name, PipelineJob)
    if job.state in FINAL_STATES:
        raise errors.failed_precondition(
            f"The PipelineJob {name} is in the state {State(job.state).name} and cannot be "
            "cancelled."
        )
    handle = call.backend.handles.get(job.name)
    if handle is None:
        report(call.backend, job.name, Event((), "CANCELLED"))
        return
    job.state = State.PIPELINE_STATE_CANCELLING
    generic.save(call, job)
    handle.cancel()


def _delete(call: Call, name: str) -> None:
    job = call.store.fetch(name, PipelineJob)
    if job.state not in FINAL_STATES:
        raise errors.failed_precondition(f"The PipelineJob {name} is still active.")
    call.store.remove(name)


def _new_id(call: Call, parent: str, job: Any) -> str:
    """<pipeline>-<time>, with a number when several jobs begin in one second."""
    pipeline = job.pipeline_spec["pipelineInfo"]["name"]
    base = f"{pipeline}-{call.backend.clock.now():%Y%m%d%H%M%S}"
    job_id, number = base, 1
    while f"{parent}/pipelineJobs/{job_id}" in call.store:
        number += 1
        job_id = f"{base}-{number}"
    return job_id


_VIRTUAL_FIELDS = {
    "pipeline_name": lambda job: job.pipeline_spec["pipelineInfo"]["name"],
    "pipeline_job_user_id": lambda job: job.name.rsplit("/", 1)[-1],
}
