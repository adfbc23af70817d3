"""Pipeline jobs: made once however often they are asked for, looked up, listed, cancelled."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from google.api_core import exceptions

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.vertex import ONCE, READ, Vertex, ensure, found_or_none
from kfp_llm_tuning.components.common.vertex_errors import explained
from kfp_llm_tuning.pipelines.jobs.job import JobFilter
from kfp_llm_tuning.pipelines.vertex.filters import quoted
from kfp_llm_tuning.pipelines.vertex.job_request import api_of, pipeline_job_message

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1 import PipelineServiceClient
    from google.cloud.aiplatform_v1.types import PipelineJob

_JOB_NAME = re.compile(r"projects/[^/]+/locations/[^/]+/pipelineJobs/.+")


def create(vertex: Vertex, job_id: str, body: Mapping[str, Any]) -> PipelineJob:
    """Starts a job unless one of this id is there.

    Args:
        vertex: Where.
        job_id: The job's id.
        body: From ``pipeline_job_body``.

    Returns:
        The job as Vertex AI has it.

    Raises:
        UserError: If Vertex AI refuses, or if the id belongs to another job.
    """
    job = pipeline_job_message(body)
    client: PipelineServiceClient = vertex.client(api_of(body).PipelineServiceClient)
    name = f"{vertex.parent}/pipelineJobs/{job_id}"
    made = ensure(
        find=lambda: found_or_none(lambda: client.get_pipeline_job(name=name, **ONCE)),
        make=lambda: client.create_pipeline_job(
            parent=vertex.parent, pipeline_job=job, pipeline_job_id=job_id, **ONCE
        ),
        doing=f"start the job {job_id}",
    ).resource
    if made.runtime_config.parameter_values != job.runtime_config.parameter_values:
        what = f"{job_id} is the id of another job, with other parameters."
        fix = "Give another id, or none for one of its own."
        raise UserError(Problem(what, "--job-id", fix=fix))
    return made


def find(vertex: Vertex, job: str) -> PipelineJob:
    """Looks a job up.

    Args:
        vertex: Where.
        job: Its id or full resource name.

    Returns:
        The job.

    Raises:
        UserError: If there is none.
    """
    with explained(f"read the job {job}", "JOB"):
        return _client(vertex).get_pipeline_job(name=job_name(vertex, job), **READ)


def list_jobs(vertex: Vertex, chosen: JobFilter) -> Iterator[PipelineJob]:
    """Lists jobs, the newest first.

    Args:
        vertex: Where.
        chosen: Which.

    Yields:
        The jobs, with their tasks.

    Raises:
        UserError: If Vertex AI refuses.
    """
    request = {
        "parent": vertex.parent,
        "filter": _expression(chosen),
        "order_by": "create_time desc",
    }
    with explained("list the jobs"):
        for job in _client(vertex).list_pipeline_jobs(request=request, **READ):
            parameters = job.runtime_config.parameter_values
            if not chosen.model or parameters.get("model_display_name") == chosen.model:
                yield job


def runs_of(vertex: Vertex, schedule: str, limit: int) -> list[PipelineJob]:
    """Lists the last runs of a schedule, the newest first.

    Args:
        vertex: Where.
        schedule: The schedule's full resource name.
        limit: How many at most.

    Returns:
        The jobs.

    Raises:
        UserError: If Vertex AI refuses.
    """
    request = {
        "parent": vertex.parent,
        "filter": f"schedule_name={quoted(schedule)}",
        "order_by": "create_time desc",
    }
    with explained("list the runs"):
        return list(islice(_client(vertex).list_pipeline_jobs(request=request, **READ), limit))


def cancel(vertex: Vertex, job: str) -> None:
    """Asks a job to stop; one that has ended stays as it is.

    Args:
        vertex: Where.
        job: Its id or full resource name.

    Raises:
        UserError: If there is no such job, or if it has ended already.
    """
    with explained(f"cancel the job {job}", "JOB"):
        try:
            # Cancelling twice is cancelling once.
            _client(vertex).cancel_pipeline_job(name=job_name(vertex, job), **READ)
        except exceptions.FailedPrecondition as error:
            raise UserError(Problem(f"{job} has ended already.", "JOB")) from error


def job_name(vertex: Vertex, job: str) -> str:
    """Writes a job's full resource name; one that is given is left as it is."""
    return job if _JOB_NAME.fullmatch(job) else f"{vertex.parent}/pipelineJobs/{job}"


def _expression(chosen: JobFilter) -> str:
    """Writes what the service can filter by, in the language of AIP-160."""
    terms = []
    if chosen.state:
        terms.append(f'state="PIPELINE_STATE_{chosen.state.upper()}"')
    if chosen.template:
        terms.append(f"pipeline_name={quoted(chosen.template)}")
    terms += [f"labels.{key}={quoted(value)}" for key, value in (chosen.labels or {}).items()]
    return " AND ".join(terms)


def _client(vertex: Vertex) -> PipelineServiceClient:
    from google.cloud.aiplatform_v1 import PipelineServiceClient

    return vertex.client(PipelineServiceClient)
