"""JobService: custom jobs that run for real, or whose states a test sets."""

from __future__ import annotations

from collections import Counter
from typing import Any

from google.cloud import aiplatform_v1
from google.protobuf import json_format
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from tests.vertex import errors
from tests.vertex.backend import Backend, Call, handles, require
from tests.vertex.images import start_error
from tests.vertex.machines import accelerator_name, check_machine, training_quota
from tests.vertex.runner_protocol import Event
from tests.vertex.services import checks, generic

CustomJob = aiplatform_v1.CustomJob.pb()
State = aiplatform_v1.JobState

_FINAL_STATES = {
    State.JOB_STATE_SUCCEEDED,
    State.JOB_STATE_FAILED,
    State.JOB_STATE_CANCELLED,
}
_INTERNAL, _CANCELLED = 13, 1  # google.rpc.Code


@handles("JobService.CreateCustomJob")
def create_job(call: Call, request: Any) -> Message:
    """Check a job, store it and start it."""
    checks.check_parent(call, request.parent)
    require(request, "custom_job.display_name", "custom_job.job_spec.worker_pool_specs")
    job = request.custom_job
    _check_pools(job.job_spec.worker_pool_specs)
    _check_tensorboard(call, request.parent, job.job_spec)
    _check_quota(call, request.parent, job.job_spec.worker_pool_specs)
    job.state = State.JOB_STATE_PENDING
    name = f"{request.parent}/customJobs/{generic.new_number()}"
    generic.add(call, name, job)
    _start(call.backend, name)
    return call.store.fetch(name, CustomJob)


@handles("JobService.CancelCustomJob")
def cancel_job(call: Call, request: Any) -> Message:
    """Cancel a job that has not ended."""
    job = call.store.fetch(request.name, CustomJob)
    if job.state in _FINAL_STATES:
        raise errors.failed_precondition(f"The CustomJob {request.name} has ended.")
    handle = call.backend.handles.get(job.name)
    if handle is None:
        report(call.backend, job.name, Event((), "CANCELLED"))
    else:
        job.state = State.JOB_STATE_CANCELLING
        generic.save(call, job)
        handle.cancel()
    return Empty()


@handles("JobService.DeleteCustomJob")
def delete_job(call: Call, request: Any) -> Message:
    """Delete a job that has ended."""
    if call.store.fetch(request.name, CustomJob).state not in _FINAL_STATES:
        raise errors.failed_precondition(f"The CustomJob {request.name} is still active.")
    return generic.delete(call, request)


def report(backend: Backend, name: str, event: Event) -> None:
    """Take an event of a job.

    Args:
        backend: The state.
        name: The job.
        event: What happened.
    """
    with backend.store.lock:
        if name not in backend.store:
            return
        job = backend.store.fetch(name, CustomJob)
        if job.state in _FINAL_STATES:
            return
        at = event.time or backend.clock.now()
        job.state = getattr(State, f"JOB_STATE_{event.state}")
        job.update_time.FromDatetime(at)
        if event.state == "RUNNING" or not job.HasField("start_time"):
            job.start_time.FromDatetime(at)
        if event.state == "FAILED":
            job.error.code, job.error.message = _INTERNAL, event.error
        if event.state == "CANCELLED":
            job.error.code, job.error.message = _CANCELLED, "The job was cancelled by the user."
        if job.state in _FINAL_STATES:
            job.end_time.FromDatetime(at)
            backend.handles.pop(name, None)
        backend.store.put(name, job)


def _start(backend: Backend, name: str) -> None:
    if backend.runner is None:
        return
    for pool in backend.store[name].job_spec.worker_pool_specs:
        if pool.WhichOneof("task") != "container_spec":
            continue
        error = start_error(pool.container_spec.image_uri, accelerator_name(pool.machine_spec))
        if error:
            report(backend, name, Event((), "FAILED", error=error))
            return
    folder = backend.folder / f"custom-job-{name.rsplit('/', 1)[-1]}"
    folder.mkdir(parents=True)
    backend.handles[name] = backend.runner.start_custom_job(
        json_format.MessageToDict(backend.store[name]),
        backend.environment,
        folder,
        lambda event: report(backend, name, event),
    )


def _check_pools(pools: Any) -> None:
    for index, pool in enumerate(pools):
        where = f"custom_job.job_spec.worker_pool_specs[{index}]"
        task = pool.WhichOneof("task")
        if task is None and pool.replica_count == 0:
            continue  # a place holder keeps the index of the next pool
        if task is None:
            raise errors.invalid(f"{where} needs container_spec or python_package_spec.")
        if not pool.machine_spec.machine_type:
            raise errors.invalid(f"{where}.machine_spec.machine_type is required.")
        if task == "container_spec" and not pool.container_spec.image_uri:
            raise errors.invalid(f"{where}.container_spec.image_uri is required.")
        check_machine(f"{where}.machine_spec".removeprefix("custom_job."), pool.machine_spec)
        if pool.replica_count < 1:
            raise errors.invalid(f"{where}.replica_count must be at least 1.")
        if index == 0 and pool.replica_count != 1:
            raise errors.invalid(f"{where}.replica_count must be 1: it is the primary replica's.")


def _check_tensorboard(call: Call, parent: str, spec: Any) -> None:
    if not spec.tensorboard:
        return
    if not spec.service_account:
        raise errors.invalid("service_account is required when tensorboard is set.")
    if spec.tensorboard not in call.store:
        raise errors.not_found(spec.tensorboard)
    if spec.tensorboard.split("/")[3] != parent.split("/")[3]:
        raise errors.invalid("tensorboard must be in the region of the custom job.")


def _check_quota(call: Call, parent: str, pools: Any) -> None:
    """Refuse a job whose GPUs are more than the region's quota for custom jobs."""
    region = parent.split("/")[3]
    taken: Counter[str] = Counter()
    for pool in pools:
        metric = training_quota(accelerator_name(pool.machine_spec))
        taken[metric] += pool.machine_spec.accelerator_count * pool.replica_count
    for metric, wanted in taken.items():
        if metric and wanted > call.backend.project_facts.quota(metric, region):
            raise errors.exhausted(f"The following quota metrics exceed quota limits: {metric}")
