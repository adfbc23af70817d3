"""Turns the events of a run into the job's details: task details, executions and artifacts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from google.cloud import aiplatform_v1
from google.protobuf import json_format

from tests.vertex import runner_protocol
from tests.vertex.runner_protocol import Event

TaskDetail = aiplatform_v1.PipelineTaskDetail.pb()
Execution = aiplatform_v1.Execution.pb()
Artifact = aiplatform_v1.Artifact.pb()

_FINAL = {"SUCCEEDED", "FAILED", "CANCELLED", "SKIPPED", "NOT_TRIGGERED"}
_EXECUTION_STATES = {
    "PENDING": "NEW",
    "RUNNING": "RUNNING",
    "SUCCEEDED": "COMPLETE",
    "FAILED": "FAILED",
    "CANCELLED": "CANCELLED",
    "SKIPPED": "CACHED",
    "NOT_TRIGGERED": "CANCELLED",
}
_UNKNOWN = 2  # google.rpc.Code


def note_task(job: Any, event: Event, at: datetime) -> Any:
    """Note an event in the job's details.

    Args:
        job: The PipelineJob; its task details change.
        event: The event.
        at: Its time.

    Returns:
        The task's detail.
    """
    detail = _find_or_add(job, event, at)
    detail.state = TaskDetail.State.Value(event.state)
    if event.state == "RUNNING":
        detail.start_time.FromDatetime(at)
    if event.state in _FINAL:
        detail.end_time.FromDatetime(at)
    if event.error:
        detail.error.code, detail.error.message = _UNKNOWN, event.error
    status = detail.pipeline_task_status.add(state=detail.state)
    status.update_time.FromDatetime(at)
    _note_artifacts(job, detail.inputs, event.input_artifacts)
    _note_artifacts(job, detail.outputs, event.output_artifacts)
    _note_execution(detail.execution, event, at)
    return detail


def end_open_tasks(job: Any, at: datetime) -> None:
    """Cancel the tasks that a run leaves when it ends.

    Args:
        job: The PipelineJob; its task details change.
        at: When it ended.
    """
    final = {TaskDetail.State.Value(name) for name in _FINAL}
    for detail in job.job_detail.task_details:
        if detail.state not in final:
            detail.state = TaskDetail.State.CANCELLED
            detail.end_time.FromDatetime(at)


def metadata_store(job_name: str) -> str:
    """The metadata store of the job's region."""
    return f"{job_name.split('/pipelineJobs/')[0]}/metadataStores/default"


def _find_or_add(job: Any, event: Event, at: datetime) -> Any:
    task_id = runner_protocol.task_uuid(job.name, event.path)
    for known in job.job_detail.task_details:
        if known.task_id == task_id:
            return known
    job_id = job.name.rsplit("/", 1)[-1]
    detail = job.job_detail.task_details.add(
        task_id=task_id, task_name=event.path[-1] if event.path else job_id
    )
    if event.path:
        detail.parent_task_id = runner_protocol.task_uuid(job.name, event.path[:-1])
        _mark_as_dag(job, detail.parent_task_id)
    detail.create_time.FromDatetime(at)
    detail.execution.name = f"{metadata_store(job.name)}/executions/{task_id}"
    detail.execution.display_name = detail.task_name
    detail.execution.schema_version = "0.0.1"
    detail.execution.schema_title = _schema(event)
    detail.execution.create_time.FromDatetime(at)
    return detail


def _mark_as_dag(job: Any, task_id: int) -> None:
    """A task is known to be a graph, not a container, once a task in it is heard of."""
    for detail in job.job_detail.task_details:
        if detail.task_id == task_id and detail.execution.schema_title != "system.Run":
            detail.execution.schema_title = "system.DagExecution"


def _schema(event: Event) -> str:
    return "system.ContainerExecution" if event.path else "system.Run"


def _note_execution(execution: Any, event: Event, at: datetime) -> None:
    execution.state = Execution.State.Value(_EXECUTION_STATES[event.state])
    execution.update_time.FromDatetime(at)
    parameters = [("input", event.input_parameters), ("output", event.output_parameters)]
    values = {
        f"{direction}:{name}": value
        for direction, group in parameters
        for name, value in group.items()
    }
    if values:
        execution.metadata.update(values)


def _note_artifacts(
    job: Any, target: Any, groups: Mapping[str, Sequence[runner_protocol.Artifact]]
) -> None:
    for name, artifacts in groups.items():
        target[name].ClearField("artifacts")
        for artifact in artifacts:
            number = runner_protocol.stable_number(f"{job.name}/{artifact.uri}")
            json_format.ParseDict(
                {
                    "name": f"{metadata_store(job.name)}/artifacts/{number}",
                    "displayName": name,
                    "uri": artifact.uri,
                    "schemaTitle": artifact.schema_title,
                    "schemaVersion": "0.0.1",
                    "state": "LIVE",
                    "metadata": dict(artifact.metadata),
                },
                target[name].artifacts.add(),
            )
