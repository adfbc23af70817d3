"""``kfp-llm-tuning submit``: the whole pipeline on Vertex AI or Kubeflow."""

from __future__ import annotations

import json
from typing import Any

import click

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.pipelines.commands.job_options import JobOptions, job_options
from kfp_llm_tuning.pipelines.commands.job_waiting import poll_option, wait_for
from kfp_llm_tuning.pipelines.commands.option_groups import GroupedCommand


@click.command(cls=GroupedCommand, context_settings={"max_content_width": 100})
@click.option(
    "--job-id",
    default="",
    help="Id of the job; sent again with the same id, a job is not started again.",
)
@click.option("--wait", is_flag=True, help="Show the tasks until the job has ended.")
@poll_option
@click.option("--dry-run", is_flag=True, help="Print the request as JSON and send nothing.")
@job_options
@click.pass_context
def submit(
    context: click.Context, /, wait: bool, poll_seconds: float, dry_run: bool, **options: Any
) -> None:
    """Tune, evaluate, register and deploy a model on Vertex AI or Kubeflow.

    Parameters come from --request, --params and the options below, later ones first. Everything
    that can be checked here is checked before anything is sent. Exit codes: 0 sent (with --wait:
    done), 1 a mistake in data or parameters, 3 refused by the gate, 13 a fault of ours, 75 the
    waiting was interrupted.
    """
    given = JobOptions.of(options)
    job = given.target().job(given.request())
    for note in job.notes:
        click.echo(f"Note: {note}", err=True)
    if dry_run:
        click.echo(job.how_to_send(), err=True)
        click.echo(json.dumps(job.body, indent=2))
        return
    try:
        sent = job.send()
    except (UserError, KeyboardInterrupt):
        # It may have been started all the same, and only this id leads to it.
        again = f"Add --job-id {job.job_id} when you try again: no second job is started then."
        click.echo(again, err=True)
        raise
    click.echo("\n".join(filter(None, (sent.name, sent.console))))
    job.after_sending(sent)
    if wait:
        context.exit(wait_for(job.service, sent.name, poll_seconds))
    click.echo(
        f"Wait for it: kfp-llm-tuning jobs show {sent.name}{job.service.options_text} --wait"
    )
