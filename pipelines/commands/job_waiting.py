"""Waiting for a pipeline job on Vertex AI, and what is told at its end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from kfp_llm_tuning.components.common.errors import EXIT_RUN_AGAIN
from kfp_llm_tuning.pipelines.commands.run import EXIT_GATE

if TYPE_CHECKING:
    from kfp_llm_tuning.components.common.vertex import Vertex
    from kfp_llm_tuning.pipelines.vertex.job_view import JobView

poll_option = click.option(
    "--poll-seconds",
    type=click.FloatRange(min=0.05),
    default=15.0,
    show_default=True,
    help="Time between two looks at the job while waiting.",
)


def wait_for(vertex: Vertex, name: str, poll_seconds: float) -> int:
    """Waits until a job has ended and tells how.

    Ctrl-C ends the waiting, not the job, unless the user says so.

    Args:
        vertex: Where the job is.
        name: Its full resource name.
        poll_seconds: Time between two looks at it.

    Returns:
        The exit code: 0 done, 1 a mistake or cancelled, 3 refused by the gate, 13 a fault of ours,
        75 where the job still runs.
    """
    from rich.console import Console

    from kfp_llm_tuning.pipelines.vertex import jobs
    from kfp_llm_tuning.pipelines.vertex.job_view import view
    from kfp_llm_tuning.pipelines.vertex.job_watch import JobDisplay, watch

    try:
        with JobDisplay(Console(highlight=False)) as display:
            job = watch(lambda: view(jobs.find(vertex, name)), display.show, poll_seconds)
    except KeyboardInterrupt:
        return _interrupted(vertex, name)
    return tell_end(job)


def tell_end(job: JobView) -> int:
    """Prints how a job ended.

    Args:
        job: A job that has ended.

    Returns:
        The exit code, as ``wait_for`` gives it.
    """
    from kfp_llm_tuning.pipelines.run_display import format_seconds
    from kfp_llm_tuning.pipelines.vertex import job_advice

    click.echo(f"\n{job.state.capitalize()} after {format_seconds(job.seconds)}.")
    tell_problems(job)
    for title, value in (
        ("model", job.model),
        ("endpoint", job.endpoint),
        ("console", job.console),
    ):
        if value:
            click.echo(f"  {title:<9} {value}")
    if job.state != "succeeded":
        return job_advice.exit_code(job)
    if not job.model:
        click.echo("Not registered: the gate refused the model; evaluate-model's log says why.")
        return EXIT_GATE
    click.echo(f"\nNext:\n  kfp-llm-tuning models show {job.model}")
    return 0


def tell_problems(job: JobView) -> None:
    """Prints why a job failed and what to do.

    Args:
        job: A job in any state.
    """
    from kfp_llm_tuning.pipelines.vertex import job_advice

    problems = [job_advice.task_problem(task) for task in job_advice.failed_tasks(job)]
    if not problems and job.state == "failed":
        problems = [job_advice.job_problem(job)]
    for problem in problems:
        click.echo(f"  {problem}")


def _interrupted(vertex: Vertex, name: str) -> int:
    from kfp_llm_tuning.pipelines.vertex import jobs

    click.echo("\nThe job goes on: only the waiting has ended.")
    if _in_terminal() and _wants_to_cancel():
        jobs.cancel(vertex, name)
        click.echo("Vertex AI was asked to cancel it.")
    click.echo(f"  wait again   kfp-llm-tuning jobs show {name} --wait")
    click.echo(f"  cancel       kfp-llm-tuning jobs cancel {name}")
    return EXIT_RUN_AGAIN


def _wants_to_cancel() -> bool:
    try:
        return click.confirm("Cancel the job?", default=False)
    except click.Abort:
        return False


def _in_terminal() -> bool:
    return sys.stdin.isatty()
