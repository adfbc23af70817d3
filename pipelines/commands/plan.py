"""``kfp-llm-tuning plan``: looks at everything that a run needs before anything is spent."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import click

from kfp_llm_tuning.components.common.errors import EXIT_USER_ERROR
from kfp_llm_tuning.components.common.wording import counted
from kfp_llm_tuning.pipelines.commands.job_options import JobOptions, job_options
from kfp_llm_tuning.pipelines.commands.option_groups import GroupedCommand
from kfp_llm_tuning.pipelines.terminal.terminal_output import at_work

if TYPE_CHECKING:
    from rich.console import Console

    from kfp_llm_tuning.pipelines.planning.estimate import Estimate
    from kfp_llm_tuning.pipelines.planning.plan import Plan

_MARKS = {"ok": "✓", "warning": "!", "unknown": "?", "problem": "✗"}
_COLOURS = {"ok": "green", "warning": "yellow", "unknown": "yellow", "problem": "red"}


def _is_number(
    context: click.Context, parameter: click.Parameter, value: float | None
) -> float | None:
    """Refuses NaN, which lies within every range."""
    if value is not None and math.isnan(value):
        raise click.BadParameter("nan is no number.", context, parameter)
    return value


@click.command(cls=GroupedCommand, context_settings={"max_content_width": 100})
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.option(
    "--machine-price",
    type=click.FloatRange(min=0, min_open=True, max=1e6),
    callback=_is_number,
    help="What the tuner's machine costs an hour.  [default: Vertex AI's list price]",
)
@job_options
@click.pass_context
def plan(
    context: click.Context, /, as_json: bool, machine_price: float | None, **options: Any
) -> None:
    """Check everything that submit would need, and estimate time and cost.

    Takes the options of submit. On Vertex AI looks at credentials, APIs, permissions, quota,
    buckets, accounts, keys and images; on Kubeflow at the API server, and where there is a
    kubeconfig at secrets, claims, storage classes, accounts and nodes. Validates the dataset, and
    changes nothing. The exit code is 0 where nothing stands against submitting, else 1.
    """
    given = JobOptions.of(options)
    with at_work("Looking at what the run needs"):
        made = given.target().plan(given.request(), machine_price)
    if as_json:
        click.echo(json.dumps(made.as_json(), indent=2))
    else:
        _show(made)
    if not made.ready:
        context.exit(EXIT_USER_ERROR)


def _show(made: Plan) -> None:
    from rich.console import Console

    # Names and texts are other people's: nothing in them is markup.
    console = Console(markup=False, highlight=False, emoji=False, soft_wrap=True)
    width = max(len(check.subject) for check in made.checks)
    for check in made.checks:
        line = f"{_MARKS[check.status]} {check.subject:<{width}}  {check.text}"
        console.print(line, style=_COLOURS[check.status])
        if check.fix:
            console.print(f"  {'':<{width}}  {check.fix}")
    if made.estimate:
        _show_estimate(console, made.estimate)
    problems = sum(check.status == "problem" for check in made.checks)
    if problems:
        console.print(f"\n✗ Not ready: {problems} problem{'s' * (problems > 1)}.", style="bold red")
    else:
        _show_no_problem(console, made)


def _show_no_problem(console: Console, made: Plan) -> None:
    if any((check.subject, check.status) == ("model", "unknown") for check in made.checks):
        text = "Nothing else stands against submitting, but the model could not be checked."
        console.print(f"\n? {text}", style="bold yellow")
    else:
        console.print("\n✓ Ready to submit.", style="bold green")


def _show_estimate(console: Console, estimate: Estimate) -> None:
    from kfp_llm_tuning.pipelines.terminal.text import format_seconds

    batch = counted(estimate.batch_size, "example")
    steps = f"{counted(estimate.steps, 'step')} of {batch}"
    console.print(f"\n  {steps}, {estimate.epochs:.2f} epochs, {estimate.tokens:,} tokens")
    if estimate.tuning_hours is not None and estimate.total_hours is not None:
        tuning = format_seconds(estimate.tuning_hours * 3600)
        console.print(f"  about {tuning} of tuning, {_hours(estimate.total_hours)} in all")
    if estimate.cost is not None:
        low, high = estimate.cost / estimate.uncertainty, estimate.cost * estimate.uncertainty
        console.print(f"  about ${estimate.cost:,.2f} (${low:,.2f} to ${high:,.2f})")
    if estimate.endpoint_cost_per_hour:
        rate = f"${estimate.endpoint_cost_per_hour:,.2f} an hour"
        console.print(f"  the endpoint then costs about {rate} until it is undeployed")
    console.print("  Assumptions:")
    for assumption in estimate.assumptions:
        console.print(f"    {assumption}")


def _hours(hours: float) -> str:
    from kfp_llm_tuning.pipelines.terminal.text import format_seconds

    return format_seconds(hours * 3600)
