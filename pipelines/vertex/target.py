"""Prepares jobs and schedules for Vertex AI: everything is checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.vertex import Vertex
from kfp_llm_tuning.pipelines.jobs.cron import frequency_notes
from kfp_llm_tuning.pipelines.jobs.schedules import Timing, for_every_run
from kfp_llm_tuning.pipelines.jobs.services import CreatedSchedule, SubmittedJob
from kfp_llm_tuning.pipelines.requests.request import Request
from kfp_llm_tuning.pipelines.templates.template import TemplateSource
from kfp_llm_tuning.pipelines.vertex import experiments, jobs, schedules
from kfp_llm_tuning.pipelines.vertex.job_request import (
    api_version,
    pipeline_job_body,
    pipeline_job_message,
)
from kfp_llm_tuning.pipelines.vertex.job_settings import JobSettings, settle
from kfp_llm_tuning.pipelines.vertex.job_view import console_url
from kfp_llm_tuning.pipelines.vertex.place import vertex_of
from kfp_llm_tuning.pipelines.vertex.schedule_request import schedule_body
from kfp_llm_tuning.pipelines.vertex.service import VertexService, schedule_view

if TYPE_CHECKING:
    from kfp_llm_tuning.pipelines.planning.plan import Plan

_ENDPOINTS = (
    "every run deploys its model to an endpoint of its own, which costs until it is deleted. Give "
    "--endpoint-resource-name, or --deploy-model false."
)


@dataclass(frozen=True)
class VertexJob:
    """A job that was checked.

    Attributes:
        vertex: Where it goes.
        job_id: Sent again with the same id, it is not started again.
        body: Of ``projects.locations.pipelineJobs.create``.
        experiment: That its run becomes part of; empty for none.
        notes: None: the parameters' warnings are the log's.
    """

    vertex: Vertex
    job_id: str
    body: Mapping[str, Any]
    experiment: str = ""
    notes: tuple[str, ...] = ()

    @property
    def service(self) -> VertexService:
        """Where it goes."""
        return VertexService(self.vertex)

    def how_to_send(self) -> str:
        """Tells how to send the body with curl."""
        scheme = "http" if self.vertex.endpoint.startswith("http://") else "https"
        place = f"{self.vertex.host}/{api_version(self.body)}/{self.vertex.parent}"
        return (
            "# Nothing was sent. Send it, saved as request.json, with:\n"
            '# curl -X POST -H "Authorization: Bearer $(gcloud auth print-access-token)" \\\n'
            '#   -H "Content-Type: application/json" -d @request.json \\\n'
            f"#   '{scheme}://{place}/pipelineJobs?pipelineJobId={self.job_id}'"
        )

    def send(self) -> SubmittedJob:
        """Starts the job unless one of its id is there.

        Returns:
            The job.

        Raises:
            UserError: If Vertex AI refuses, or if the id belongs to another job.
        """
        sent = jobs.create(self.vertex, self.job_id, self.body)
        return SubmittedJob(sent.name, console_url(sent.name))

    def after_sending(self, sent: SubmittedJob) -> None:
        """Makes the run part of the experiment.

        Args:
            sent: The job.

        Raises:
            UserError: If Vertex AI refuses; the job goes on all the same.
        """
        if self.experiment:
            experiments.add_run(self.vertex, self.experiment, sent.name)


@dataclass(frozen=True)
class VertexSchedule:
    """A schedule that was checked.

    Attributes:
        vertex: Where it goes.
        body: Of ``projects.locations.schedules.create``.
        notes: What is worth a look.
    """

    vertex: Vertex
    body: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    def make(self) -> CreatedSchedule:
        """Makes the schedule unless the same request made it before.

        Returns:
            The schedule.

        Raises:
            UserError: If Vertex AI refuses, or if another schedule has the name.
        """
        made = schedules.create(self.vertex, self.body)
        return CreatedSchedule(schedule_view(made.schedule), made.was_there, made.deleted)


@dataclass(frozen=True)
class VertexTarget:
    """Where jobs are to run.

    Attributes:
        settings: What a job has beside its template and its parameters.
        source: Where the template comes from.
        experiment: That a job's run becomes part of; empty for none.
    """

    settings: JobSettings = field(default_factory=JobSettings)
    source: TemplateSource = field(default_factory=TemplateSource)
    experiment: str = ""

    def job(self, request: Request) -> VertexJob:
        """Checks a job.

        Args:
            request: What to run.

        Returns:
            The job, ready to be sent.

        Raises:
            UserError: With every problem found.
        """
        experiments.check_name(self.experiment)
        request, settings = settle(request, self.settings)
        body = pipeline_job_body(request, settings, self.source)
        pipeline_job_message(body)
        return VertexJob(vertex_of(request, settings), settings.job_id, body, self.experiment)

    def schedule(self, request: Request, name: str, timing: Timing) -> VertexSchedule:
        """Checks a schedule.

        Args:
            request: What every run is to do.
            name: The schedule's name; empty for the model's.
            timing: When it starts runs.

        Returns:
            The schedule, ready to be made.

        Raises:
            UserError: With every problem found.
        """
        if self.experiment:
            what = "runs that a schedule of Vertex AI starts join no experiment."
            raise UserError(Problem(what, "--experiment", fix="Leave it out."))
        name = name or str(request.values.get("model_display_name", ""))
        request, settings = settle(for_every_run(request), self.settings)
        job_body = pipeline_job_body(request, settings, self.source)
        pipeline_job_message(job_body)
        vertex = vertex_of(request, settings)
        body = schedule_body(name, timing, vertex.parent, job_body)
        notes = _schedule_notes(request) + frequency_notes(timing.cron)
        return VertexSchedule(vertex, body, notes)

    def plan(self, request: Request, machine_price: float | None = None) -> Plan:
        """Looks at everything that a job would need, and changes nothing.

        Args:
            request: What to run.
            machine_price: US dollars an hour of the tuner's machine; None for the list price.

        Returns:
            What was found, and the estimate.
        """
        from kfp_llm_tuning.pipelines.vertex.planning.vertex_plan import make_plan

        request, settings = settle(request, self.settings)
        return make_plan(request, settings, self.source, machine_price)


def _schedule_notes(request: Request) -> tuple[str, ...]:
    deploys = str(request.values.get("deploy_model", True)).lower() not in ("false", "0", "no")
    own_endpoint = not request.values.get("endpoint_resource_name")
    return (_ENDPOINTS,) if deploys and own_endpoint else ()
