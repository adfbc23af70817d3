"""``kfp-llm-tuning schedule``: pipelines that Vertex AI or Kubeflow starts by the clock."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from kfp_llm_tuning.pipelines.commands.job_options import JobOptions, job_options
from kfp_llm_tuning.pipelines.commands.option_groups import GroupedCommand
from kfp_llm_tuning.pipelines.commands.platform_options import service_options
from kfp_llm_tuning.pipelines.commands.tables import print_table
from kfp_llm_tuning.pipelines.jobs.schedules import STATES, Timing

if TYPE_CHECKING:
    from kfp_llm_tuning.pipelines.jobs.schedules import ScheduleView
    from kfp_llm_tuning.pipelines.jobs.services import Service

_SHOWN_RUNS = 10


@click.group()
def schedule() -> None:
    """Run pipelines by the clock on Vertex AI or Kubeflow."""


@schedule.command(cls=GroupedCommand, context_settings={"max_content_width": 100})
@click.option("--name", default="", help="The schedule's name.  [default: the model's]")
@click.option("--cron", required=True, help="Minute hour day month weekday, such as '0 9 * * 1'.")
@click.option("--time-zone", default="", help="Such as Europe/Berlin.  [default: UTC]")
@click.option("--start", default="", help="First moment of the schedule, ISO 8601.")
@click.option("--end", default="", help="Last moment of the schedule, ISO 8601.")
@click.option(
    "--max-runs", type=int, default=0, help="Runs after which it is completed, on Vertex AI."
)
@click.option(
    "--max-concurrent", type=int, default=1, show_default=True, help="Runs at the same time."
)
@click.option(
    "--allow-queueing", is_flag=True, help="Let a run wait for its place, not leave it out."
)
@click.option("--dry-run", is_flag=True, help="Print the request as JSON and send nothing.")
@job_options
def create(name: str, dry_run: bool, **options: Any) -> None:
    """Make a schedule; asked for twice, it is made once.

    On Vertex AI every run's model is named after its date ({date} and {time} in
    --model-display-name say where; default: at the end), and all are versions of one model,
    --parent-model, by default called as --model-display-name is. An empty --parent-model makes a
    model of its own with every run. On Kubeflow every run adds a version to the model of
    --model-display-name, or with {date} in it makes a model of its own.
    """
    timing = Timing(**{field: options.pop(field) for field in Timing.__dataclass_fields__})
    given = JobOptions.of(options)
    prepared = given.target().schedule(given.request(), name, timing)
    for note in prepared.notes:
        click.echo(f"Note: {note}", err=True)
    if dry_run:
        click.echo(json.dumps(prepared.body, indent=2))
        return
    made = prepared.make()
    if made.was_there:
        click.echo("It was there before: nothing was made.")
    for twin in made.deleted:
        click.echo(f"Deleted {twin}, which a repeated delivery had made.")
    _show(made.schedule)


@schedule.command("list")
@service_options
@click.option("--state", type=click.Choice(STATES), help="Only schedules in this state.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def list_schedules(service: Service, state: str | None, as_json: bool) -> None:
    """List schedules, the newest first."""
    found = service.list_schedules(state or "")
    if as_json:
        click.echo(json.dumps([one.content for one in found], indent=2))
    elif found:
        rows = [
            (
                one.id,
                one.display_name,
                one.state,
                one.cron,
                _time(one.next_run) if one.state == "active" else "",
                one.runs.partition(" ")[0],
            )
            for one in found
        ]
        print_table(("SCHEDULE", "NAME", "STATE", "CRON", "NEXT RUN", "RUNS"), rows)
    else:
        click.echo("No schedules.")


@schedule.command()
@click.argument("schedule", metavar="SCHEDULE")
@service_options
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def show(schedule: str, service: Service, as_json: bool) -> None:
    """Show a schedule and its last runs.

    SCHEDULE is an id or a name; on Vertex AI also a full resource name, which says project and
    region too.
    """
    found = service.find_schedule(schedule)
    if as_json:
        click.echo(json.dumps(found.content, indent=2))
        return
    _show(found)
    runs = service.runs_of(found, _SHOWN_RUNS)
    if runs:
        click.echo("")
        print_table(
            ("RUN", "STATE", "CREATED", "MODEL"),
            [(run.id, run.state, run.created[:16].replace("T", " "), run.model) for run in runs],
        )


@schedule.command()
@click.argument("schedule", metavar="SCHEDULE")
@service_options
def pause(schedule: str, service: Service) -> None:
    """Keep a schedule from starting runs.

    SCHEDULE is an id or a name; on Vertex AI also a full resource name, which says project and
    region too.
    """
    found = service.find_schedule(schedule)
    service.pause_schedule(found)
    click.echo(f"Paused {found.display_name}: runs that have begun go on.")


@schedule.command()
@click.argument("schedule", metavar="SCHEDULE")
@service_options
@click.option(
    "--catch-up", is_flag=True, help="Make up for the runs that were left out, on Vertex AI."
)
def resume(schedule: str, service: Service, catch_up: bool) -> None:
    """Let a paused schedule start runs again.

    SCHEDULE is an id or a name; on Vertex AI also a full resource name, which says project and
    region too. On Kubeflow a schedule made with --allow-queueing makes up for the runs that were
    left out, and any other for the last of them.
    """
    found = service.find_schedule(schedule)
    service.resume_schedule(found, catch_up)
    click.echo(f"Resumed {found.display_name}.")


@schedule.command()
@click.argument("schedule", metavar="SCHEDULE")
@service_options
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(schedule: str, service: Service, yes: bool) -> None:
    """Delete a schedule; its runs and models stay.

    SCHEDULE is an id or a name; on Vertex AI also a full resource name, which says project and
    region too.
    """
    found = service.find_schedule(schedule)
    if not yes:
        click.confirm(f"Delete {found.display_name} ({found.cron})?", abort=True)
    service.delete_schedule(found)
    click.echo(f"Deleted {found.display_name}.")


def _show(found: ScheduleView) -> None:
    click.echo(found.name)
    for title, value in (
        ("name", found.display_name),
        ("state", found.state),
        ("cron", found.cron),
        ("next run", _time(found.next_run)),
        ("start", _time(found.start)),
        ("end", _time(found.end)),
        ("runs", found.runs),
        ("account", found.account),
        ("model", found.model),
        ("parent", found.parent),
    ):
        if value:
            click.echo(f"  {title:<9} {value}")


def _time(time: datetime | None) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC") if time else ""
