"""``kfp-llm-tuning jobs``: the pipeline jobs on Vertex AI or Kubeflow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

import click

from kfp_llm_tuning.components.parameters.pipeline import TEMPLATES
from kfp_llm_tuning.pipelines.commands.job_waiting import poll_option, tell_problems, wait_for
from kfp_llm_tuning.pipelines.commands.platform_options import service_options
from kfp_llm_tuning.pipelines.commands.request_options import parse_labels
from kfp_llm_tuning.pipelines.commands.tables import print_table
from kfp_llm_tuning.pipelines.jobs.job import STATES, JobFilter

if TYPE_CHECKING:
    from kfp_llm_tuning.pipelines.jobs.job import JobView
    from kfp_llm_tuning.pipelines.jobs.services import Service


@click.group()
def jobs() -> None:
    """List, show or cancel pipeline jobs on Vertex AI or Kubeflow."""


@jobs.command("list")
@service_options
@click.option("--state", type=click.Choice(STATES), help="Only jobs in this state.")
@click.option("--template", type=click.Choice(list(TEMPLATES)), help="Only its jobs.")
@click.option("--model", default="", help="Only jobs that tune a model of this display name.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Only jobs with it.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="How many, the newest first.",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def list_jobs(
    service: Service,
    state: str | None,
    template: str | None,
    model: str,
    labels: tuple[str, ...],
    limit: int,
    as_json: bool,
) -> None:
    """List jobs, the newest first."""
    chosen = JobFilter(state or "", template or "", model, parse_labels(labels))
    found = list(islice(service.list_jobs(chosen), limit))
    if as_json:
        click.echo(json.dumps([job.as_json() for job in found], indent=2))
    elif found:
        _print_jobs(found)
    else:
        click.echo("No jobs.")


@jobs.command()
@click.argument("job")
@service_options
@click.option("--wait", is_flag=True, help="Show the tasks until the job has ended.")
@poll_option
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.pass_context
def show(
    context: click.Context,
    /,
    job: str,
    service: Service,
    wait: bool,
    poll_seconds: float,
    as_json: bool,
) -> None:
    """Show a job, its tasks, and what to do about those that failed.

    JOB is an id; on Vertex AI also a full resource name, which says project and region too; on
    Kubeflow also the id that submit was given. With --wait the exit codes are those of submit.
    """
    found = service.find_job(job)
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
        return
    _show(found)
    if wait:
        context.exit(wait_for(service, found.name, poll_seconds))
    _print_tasks(found)
    tell_problems(service, found)


@jobs.command()
@click.argument("job")
@service_options
def cancel(job: str, service: Service) -> None:
    """Ask a job to stop.

    JOB is an id; on Vertex AI also a full resource name, which says project and region too; on
    Kubeflow also the id that submit was given.
    """
    service.cancel_job(job)
    click.echo(f"{service.title} was asked to cancel {job.rpartition('/')[2]}.")


def _show(job: JobView) -> None:
    from kfp_llm_tuning.pipelines.terminal.text import format_seconds

    click.echo(job.name)
    for title, value in (
        ("name", job.display_name),
        ("template", job.template),
        ("state", f"{job.state}, {format_seconds(job.seconds)}"),
        ("created", job.created),
        ("metric", job.primary),
        ("model", job.model),
        ("endpoint", job.endpoint),
        ("console", job.console),
        ("note", job.note),
    ):
        if value:
            click.echo(f"  {title:<9} {value}")


def _print_jobs(found: Sequence[JobView]) -> None:
    from kfp_llm_tuning.pipelines.terminal.text import format_seconds

    rows = [
        (
            job.id,
            job.state,
            job.template,
            job.model_display_name,
            job.created[:16].replace("T", " "),
            format_seconds(job.seconds),
        )
        for job in found
    ]
    print_table(("JOB", "STATE", "TEMPLATE", "MODEL", "CREATED", "TIME"), rows)


def _print_tasks(job: JobView) -> None:
    from kfp_llm_tuning.pipelines.terminal.text import format_seconds

    rows = [(task.name, task.state, format_seconds(task.seconds)) for task in job.tasks]
    print_table(("TASK", "STATE", "TIME"), rows)
    for task in job.tasks:
        if task.waits_for:
            click.echo(f"  ! {task.name} waits: {task.waits_for}")
