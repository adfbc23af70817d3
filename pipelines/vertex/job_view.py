"""Reads what people want to see of a pipeline job on Vertex AI."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from kfp_llm_tuning.components.common.primary_metric import (
    PRIMARY_KEY,
    PRIMARY_NAME_KEY,
    PrimaryMetric,
)
from kfp_llm_tuning.pipelines.jobs.job import JobView, TaskView

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1.types import PipelineJob, PipelineTaskDetail

# The task that evaluates, and its output with the figures.
_EVALUATION, _METRICS = "evaluate-model", "metrics"
_STATE_PREFIX = "PIPELINE_STATE_"


def view(job: PipelineJob) -> JobView:
    """Reads a job.

    Args:
        job: As Vertex AI answers it.

    Returns:
        What people want to see of it.
    """
    details = list(job.job_detail.task_details)
    spec = dict(job.pipeline_spec or {})
    return JobView(
        name=job.name,
        display_name=job.display_name,
        template=str(dict(spec.get("pipelineInfo") or {}).get("name", "")),
        state=job.state.name.removeprefix(_STATE_PREFIX).lower(),
        created=_isoformat(job.create_time),
        seconds=_seconds(job.start_time or job.create_time, job.end_time),
        model_display_name=str(job.runtime_config.parameter_values.get("model_display_name", "")),
        error=job.error.message,
        code=job.error.code,
        tasks=_tasks(details),
        model=_output(details, "model_resource_name", "upload-llm-model"),
        endpoint=_output(details, "endpoint_resource_name", "create-endpoint-and-deploy-model"),
        console=console_url(job.name),
        primary=_primary(details),
    )


def console_url(name: str) -> str:
    """Writes the URL of a job's page in the Google Cloud console.

    Args:
        name: The job's full resource name.

    Returns:
        The URL.
    """
    _, project, _, location, _, job = name.split("/", 5)
    base = "https://console.cloud.google.com/vertex-ai/locations"
    return f"{base}/{location}/pipelines/runs/{job}?project={project}"


def _tasks(details: Sequence[PipelineTaskDetail]) -> tuple[TaskView, ...]:
    graphs = {detail.parent_task_id for detail in details}
    leaves = [
        detail
        for detail in details
        if detail.task_id not in graphs and detail.execution.schema_title != "system.Run"
    ]
    never = datetime.max.replace(tzinfo=UTC)
    leaves.sort(key=lambda detail: detail.start_time or detail.create_time or never)
    return tuple(
        TaskView(
            name=detail.task_name,
            state=detail.state.name.lower(),
            seconds=_seconds(detail.start_time, detail.end_time),
            error=detail.error.message,
            code=detail.error.code,
        )
        for detail in leaves
    )


def _primary(details: Sequence[PipelineTaskDetail]) -> PrimaryMetric | None:
    """Reads the metric of the evaluation: it stands in the metadata of evaluate-model's metrics."""
    for detail in details:
        if detail.task_name == _EVALUATION and _METRICS in detail.outputs:
            for artifact in detail.outputs[_METRICS].artifacts:
                metadata = dict(artifact.metadata or {})
                if name := metadata.get(PRIMARY_NAME_KEY):
                    values = (metadata.get(f"base_{PRIMARY_KEY}"), metadata.get(PRIMARY_KEY))
                    return PrimaryMetric(str(name), *values)
    return None


def _output(details: Sequence[PipelineTaskDetail], name: str, task: str) -> str:
    """Reads a root output: Vertex AI writes it to the run's execution, and to the task's own."""
    for detail in details:
        if detail.task_name == task or detail.execution.schema_title == "system.Run":
            metadata = dict(detail.execution.metadata or {})
            if value := metadata.get(f"output:{name}"):
                return str(value)
    return ""


def _seconds(start: datetime | None, end: datetime | None) -> float:
    if not start:
        return 0.0
    return max(0.0, ((end or datetime.now(UTC)) - start).total_seconds())


def _isoformat(time: datetime | None) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds") if time else ""
