"""``kfp-llm-tuning submit``: the whole pipeline on Vertex AI."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.pipelines.commands.job_options import JobOptions, job_options
from kfp_llm_tuning.pipelines.commands.job_waiting import poll_option, wait_for

if TYPE_CHECKING:
    from kfp_llm_tuning.components.common.vertex import Vertex


@click.command(context_settings={"max_content_width": 100})
@click.option(
    "--job-id",
    default="",
    help="Id of the job; sent again with the same id, a job is not started again.",
)
@click.option("--experiment", default="", help="Vertex AI experiment that the run belongs to.")
@click.option("--wait", is_flag=True, help="Show the tasks until the job has ended.")
@poll_option
@click.option("--dry-run", is_flag=True, help="Print the request as JSON and send nothing.")
@job_options
@click.pass_context
def submit(
    context: click.Context,
    /,
    experiment: str,
    wait: bool,
    poll_seconds: float,
    dry_run: bool,
    **options: Any,
) -> None:
    """Tune, evaluate, register and deploy a model on Vertex AI.

    Parameters come from --request, --params and the options below, later ones first. Everything
    that can be checked here is checked before anything is sent. Exit codes: 0 sent (with --wait:
    done), 1 a mistake in data or parameters, 3 refused by the gate, 13 a fault of ours, 75 the
    waiting was interrupted.
    """
    from kfp_llm_tuning.pipelines.vertex import experiments, jobs
    from kfp_llm_tuning.pipelines.vertex.job_request import pipeline_job_body, pipeline_job_message
    from kfp_llm_tuning.pipelines.vertex.job_settings import settle
    from kfp_llm_tuning.pipelines.vertex.job_view import console_url
    from kfp_llm_tuning.pipelines.vertex.place import vertex_of

    experiments.check_name(experiment)
    job = JobOptions.of(options)
    request, settings = settle(job.request(), job.settings())
    body = pipeline_job_body(request, settings, job.template())
    pipeline_job_message(body)
    vertex = vertex_of(request, settings)
    if dry_run:
        _print_request(vertex, settings.job_id, body)
        return
    try:
        sent = jobs.create(vertex, settings.job_id, body)
    except (UserError, KeyboardInterrupt):
        # It may have been started all the same, and only this id leads to it.
        again = f"Add --job-id {settings.job_id} when you try again: no second job is started then."
        click.echo(again, err=True)
        raise
    click.echo(f"{sent.name}\n{console_url(sent.name)}")
    if experiment:
        experiments.add_run(vertex, experiment, sent.name)
    if wait:
        context.exit(wait_for(vertex, sent.name, poll_seconds))
    click.echo(f"Wait for it: kfp-llm-tuning jobs show {sent.name} --wait")


def _print_request(vertex: Vertex, job_id: str, body: Mapping[str, Any]) -> None:
    from kfp_llm_tuning.pipelines.vertex.job_request import api_version

    scheme = "http" if vertex.endpoint.startswith("http://") else "https"
    url = f"{scheme}://{vertex.host}/{api_version(body)}/{vertex.parent}/pipelineJobs"
    click.echo(
        "# Nothing was sent. Send it, saved as request.json, with:\n"
        '# curl -X POST -H "Authorization: Bearer $(gcloud auth print-access-token)" \\\n'
        '#   -H "Content-Type: application/json" -d @request.json \\\n'
        f"#   '{url}?pipelineJobId={job_id}'",
        err=True,
    )
    click.echo(json.dumps(body, indent=2))
