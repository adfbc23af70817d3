"""Waiting for a pipeline job, and what is told at its end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from kfp_llm_tuning.components.common.errors import EXIT_RUN_AGAIN
from kfp_llm_tuning.pipelines.commands.run import EXIT_GATE

if TYPE_CHECKING:
    from kfp_llm_tuning.pipelines.jobs.job import JobView
    from kfp_llm_tuning.pipelines.jobs.services import Service

poll_option = click.option(
    "--poll-seconds",
    type=click.FloatRange(min=0.05),
    default=15.0,
    show_default=True,
    help="Time between two looks at the job while waiting.",
)


def wait_for(service: Service, name: str, poll_seconds: float) -> int:
    """Waits until a job has ended and tells how.

    Ctrl-C ends the waiting, not the job, unless the user says so.

    Args:
        service: Where the job is.
        name: What leads to it.
        poll_seconds: Time between two looks at it.

    Returns:
        The exit code: 0 done, 1 a mistake or cancelled, 3 refused by the gate, 13 a fault of ours,
        75 where the job still runs.
    """
    from rich.console import Console

    from kfp_llm_tuning.pipelines.jobs.job_watch import JobDisplay, watch

    try:
        with JobDisplay(Console(highlight=False)) as display:
            job = watch(lambda: service.find_job(name), display.show, poll_seconds)
    except KeyboardInterrupt:
        return _interrupted(service, name)
    return tell_end(service, job)


def tell_end(service: Service, job: JobView) -> int:
    """Prints how a job ended.

    Args:
        service: Where the job is.
        job: A job that has ended.

    Returns:
        The exit code, as ``wait_for`` gives it.
    """
    from kfp_llm_tuning.pipelines.jobs import job_advice
    from kfp_llm_tuning.pipelines.terminal.text import format_seconds

    click.echo(f"\n{job.state.capitalize()} after {format_seconds(job.seconds)}.")
    tell_problems(service, job)
    for title, value in (
        ("metric", job.primary),
        ("model", job.model),
        ("endpoint", job.endpoint),
        ("console", job.console),
        ("note", job.note),
    ):
        if value:
            click.echo(f"  {title:<9} {value}")
    if job.state != "succeeded":
        return job_advice.exit_code(job)
    if job.model:
        click.echo(f"\nNext:\n  kfp-llm-tuning models show {job.model}")
    elif not job.note:
        click.echo("Not registered: the gate refused the model; evaluate-model's log says why.")
        return EXIT_GATE
    return 0


def tell_problems(service: Service, job: JobView) -> None:
    """Prints why a job failed and what to do.

    Args:
        service: Where the job is.
        job: A job in any state.
    """
    from kfp_llm_tuning.pipelines.jobs.job_advice import problems_of

    for problem in problems_of(job, service.explain):
        click.echo(f"  {problem}")


def _interrupted(service: Service, name: str) -> int:
    click.echo("\nThe job goes on: only the waiting has ended.")
    if _in_terminal() and _wants_to_cancel():
        service.cancel_job(name)
        click.echo(f"{service.title} was asked to cancel it.")
    click.echo(f"  wait again   kfp-llm-tuning jobs show {name}{service.options_text} --wait")
    click.echo(f"  cancel       kfp-llm-tuning jobs cancel {name}{service.options_text}")
    return EXIT_RUN_AGAIN


def _wants_to_cancel() -> bool:
    try:
        return click.confirm("Cancel the job?", default=False)
    except click.Abort:
        return False


def _in_terminal() -> bool:
    return sys.stdin.isatty()
