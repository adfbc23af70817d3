"""The jobs and schedules of one project and region of Vertex AI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.api_core import exceptions

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.common.vertex import Vertex
from kfp_llm_tuning.components.common.vertex_errors import problem_of
from kfp_llm_tuning.pipelines.jobs.job import JobFilter, JobView
from kfp_llm_tuning.pipelines.jobs.job_advice import exit_status
from kfp_llm_tuning.pipelines.jobs.schedules import ScheduleView
from kfp_llm_tuning.pipelines.vertex import jobs, schedules
from kfp_llm_tuning.pipelines.vertex.job_view import view

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1.types import Schedule

_KILLED = 137
_OUT_OF_MEMORY = "The machine ran out of memory: give a larger --tuning-machine."


@dataclass(frozen=True)
class VertexService:
    """The jobs and schedules of one project and region.

    Attributes:
        vertex: Where.
        title: What people call it.
        options_text: None: a resource's full name says where it is.
    """

    vertex: Vertex
    title: str = "Vertex AI"
    options_text: str = ""

    def find_job(self, job: str) -> JobView:
        """Looks a job up by its id or full resource name."""
        return view(jobs.find(self.vertex, job))

    def list_jobs(self, chosen: JobFilter) -> Iterator[JobView]:
        """Lists jobs, the newest first."""
        return map(view, jobs.list_jobs(self.vertex, chosen))

    def cancel_job(self, job: str) -> None:
        """Asks a job to stop."""
        jobs.cancel(self.vertex, job)

    def explain(self, text: str, code: int, where: str) -> Problem:
        """Says what to do about an error of a job or a task."""
        if exit_status(text) == _KILLED:
            return Problem(text, where, fix=_OUT_OF_MEMORY)
        error = exceptions.from_grpc_status(code or 2, text)  # type: ignore[no-untyped-call]
        return Problem(text or "no reason was given.", where, fix=problem_of(error, "run").fix)

    def find_schedule(self, schedule: str) -> ScheduleView:
        """Looks a schedule up by its number, its full resource name, or its name for people."""
        return schedule_view(schedules.find(self.vertex, schedule))

    def list_schedules(self, state: str) -> list[ScheduleView]:
        """Lists schedules in a state, or all of them, the newest first."""
        return [schedule_view(one) for one in schedules.list_schedules(self.vertex, state)]

    def runs_of(self, schedule: ScheduleView, limit: int) -> list[JobView]:
        """Lists the last runs of a schedule, the newest first."""
        return [view(job) for job in jobs.runs_of(self.vertex, schedule.name, limit)]

    def pause_schedule(self, schedule: ScheduleView) -> None:
        """Keeps a schedule from starting runs."""
        schedules.pause(self.vertex, schedules.find(self.vertex, schedule.name))

    def resume_schedule(self, schedule: ScheduleView, catch_up: bool) -> None:
        """Lets a schedule start runs again."""
        schedules.resume(self.vertex, schedules.find(self.vertex, schedule.name), catch_up)

    def delete_schedule(self, schedule: ScheduleView) -> None:
        """Deletes a schedule; its runs stay."""
        schedules.delete(self.vertex, schedules.find(self.vertex, schedule.name))


def schedule_view(schedule: Schedule) -> ScheduleView:
    """Reads a schedule.

    Args:
        schedule: As Vertex AI answers it.

    Returns:
        What people want to see of it.
    """
    job = schedule.create_pipeline_job_request.pipeline_job
    parameters = job.runtime_config.parameter_values
    return ScheduleView(
        name=schedule.name,
        display_name=schedule.display_name,
        state=schedule.state.name.lower(),
        cron=schedule.cron,
        next_run=schedule.next_run_time,
        start=schedule.start_time,
        end=schedule.end_time,
        runs=f"{schedule.started_run_count} of {schedule.max_run_count or 'any number'}",
        account=job.service_account,
        model=str(parameters.get("model_display_name", "")),
        parent=str(parameters.get("parent_model", "")),
        content=_content(schedule),
    )


def _content(schedule: Schedule) -> dict[str, Any]:
    from google.cloud.aiplatform_v1.types import Schedule

    content: dict[str, Any] = json.loads(Schedule.to_json(schedule))
    # The compiled pipeline, thousands of lines.
    content["createPipelineJobRequest"]["pipelineJob"].pop("pipelineSpec", None)
    return content
