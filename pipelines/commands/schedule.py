"""``kfp-llm-tuning schedule``: pipelines that Vertex AI starts by the clock."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from kfp_llm_tuning.pipelines.commands.job_options import JobOptions, job_options
from kfp_llm_tuning.pipelines.commands.place_options import place_options
from kfp_llm_tuning.pipelines.commands.tables import print_table

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1.types import Schedule

    from kfp_llm_tuning.components.common.vertex import Vertex
    from kfp_llm_tuning.pipelines.requests import Request

_TIMING = ("cron", "time_zone", "start", "end", "max_runs", "max_concurrent", "allow_queueing")
_SHOWN_RUNS = 10


@click.group()
def schedule() -> None:
    """Run pipelines by the clock on Vertex AI."""


@schedule.command(context_settings={"max_content_width": 100})
@click.option("--name", default="", help="The schedule's name.  [default: the model's]")
@click.option("--cron", required=True, help="Minute hour day month weekday, such as '0 9 * * 1'.")
@click.option("--time-zone", default="", help="Such as Europe/Berlin.  [default: UTC]")
@click.option("--start", default="", help="First moment of the schedule, ISO 8601.")
@click.option("--end", default="", help="Last moment of the schedule, ISO 8601.")
@click.option("--max-runs", type=int, default=0, help="Runs after which it is completed.")
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

    Every run's model is named after its date ({date} and {time} in --model-display-name say where;
    default: at the end), and all are versions of one model, --parent-model, by default called as
    --model-display-name is. An empty --parent-model makes a model of its own with every run.
    """
    from kfp_llm_tuning.pipelines.vertex import schedules
    from kfp_llm_tuning.pipelines.vertex.job_request import pipeline_job_body, pipeline_job_message
    from kfp_llm_tuning.pipelines.vertex.job_settings import settle
    from kfp_llm_tuning.pipelines.vertex.place import vertex_of
    from kfp_llm_tuning.pipelines.vertex.schedule_request import (
        Timing,
        for_every_run,
        schedule_body,
    )

    timing = Timing(**{field: options.pop(field) for field in _TIMING})
    job = JobOptions.of(options)
    given = job.request()
    name = name or str(given.values.get("model_display_name", ""))
    request, settings = settle(for_every_run(given), job.settings())
    job_body = pipeline_job_body(request, settings, job.template())
    pipeline_job_message(job_body)
    vertex = vertex_of(request, settings)
    body = schedule_body(name, timing, vertex.parent, job_body)
    _warn_of_endpoints(request)
    if dry_run:
        click.echo(json.dumps(body, indent=2))
        return
    made = schedules.create(vertex, body)
    if made.was_there:
        click.echo("It was there before: nothing was made.")
    for twin in made.deleted:
        click.echo(f"Deleted {twin}, which a repeated delivery had made.")
    _show(made.schedule)


@schedule.command("list")
@place_options
@click.option(
    "--state",
    type=click.Choice(["active", "paused", "completed"]),
    help="Only schedules in this state.",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def list_schedules(
    project: str, region: str, api_endpoint: str, state: str | None, as_json: bool
) -> None:
    """List schedules, the newest first."""
    from kfp_llm_tuning.pipelines.vertex import schedules

    found = schedules.list_schedules(_vertex(project, region, api_endpoint), state or "")
    if as_json:
        click.echo(json.dumps([_as_json(one) for one in found], indent=2))
    elif found:
        rows = [
            (
                one.name.rpartition("/")[2],
                one.display_name,
                one.state.name.lower(),
                one.cron,
                _time(one.next_run_time) if one.state.name == "ACTIVE" else "",
                str(one.started_run_count),
            )
            for one in found
        ]
        print_table(("SCHEDULE", "NAME", "STATE", "CRON", "NEXT RUN", "RUNS"), rows)
    else:
        click.echo("No schedules.")


@schedule.command()
@click.argument("schedule", metavar="SCHEDULE")
@place_options
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def show(schedule: str, project: str, region: str, api_endpoint: str, as_json: bool) -> None:
    """Show a schedule and its last runs.

    SCHEDULE is a number, a name, or a full resource name, which says project and region too.
    """
    from kfp_llm_tuning.pipelines.vertex import jobs, schedules
    from kfp_llm_tuning.pipelines.vertex.job_view import view

    vertex = _vertex(project, region, api_endpoint, schedule)
    found = schedules.find(vertex, schedule)
    if as_json:
        click.echo(json.dumps(_as_json(found), indent=2))
        return
    _show(found)
    runs = [view(job) for job in jobs.runs_of(vertex, found.name, _SHOWN_RUNS)]
    if runs:
        click.echo("")
        print_table(
            ("RUN", "STATE", "CREATED", "MODEL"),
            [(run.id, run.state, run.created[:16].replace("T", " "), run.model) for run in runs],
        )


@schedule.command()
@click.argument("schedule", metavar="SCHEDULE")
@place_options
def pause(schedule: str, project: str, region: str, api_endpoint: str) -> None:
    """Keep a schedule from starting runs.

    SCHEDULE is a number, a name, or a full resource name, which says project and region too.
    """
    from kfp_llm_tuning.pipelines.vertex import schedules

    vertex = _vertex(project, region, api_endpoint, schedule)
    found = schedules.find(vertex, schedule)
    schedules.pause(vertex, found)
    click.echo(f"Paused {found.display_name}: runs that have begun go on.")


@schedule.command()
@click.argument("schedule", metavar="SCHEDULE")
@place_options
@click.option("--catch-up", is_flag=True, help="Make up for the runs that were left out.")
def resume(schedule: str, project: str, region: str, api_endpoint: str, catch_up: bool) -> None:
    """Let a paused schedule start runs again.

    SCHEDULE is a number, a name, or a full resource name, which says project and region too.
    """
    from kfp_llm_tuning.pipelines.vertex import schedules

    vertex = _vertex(project, region, api_endpoint, schedule)
    found = schedules.find(vertex, schedule)
    schedules.resume(vertex, found, catch_up)
    click.echo(f"Resumed {found.display_name}.")


@schedule.command()
@click.argument("schedule", metavar="SCHEDULE")
@place_options
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(schedule: str, project: str, region: str, api_endpoint: str, yes: bool) -> None:
    """Delete a schedule; its runs and models stay.

    SCHEDULE is a number, a name, or a full resource name, which says project and region too.
    """
    from kfp_llm_tuning.pipelines.vertex import schedules

    vertex = _vertex(project, region, api_endpoint, schedule)
    found = schedules.find(vertex, schedule)
    if not yes:
        click.confirm(f"Delete {found.display_name} ({found.cron})?", abort=True)
    schedules.delete(vertex, found)
    click.echo(f"Deleted {found.display_name}.")


def _vertex(project: str, region: str, api_endpoint: str, schedule: str = "") -> Vertex:
    from kfp_llm_tuning.pipelines.vertex.place import vertex_at

    return vertex_at(project, region, api_endpoint, schedule)


def _warn_of_endpoints(request: Request) -> None:
    deploys = str(request.values.get("deploy_model", True)).lower() not in ("false", "0", "no")
    if deploys and not request.values.get("endpoint_resource_name"):
        click.echo(
            "Note: every run deploys its model to an endpoint of its own, which costs until it is "
            "deleted. Give --endpoint-resource-name, or --deploy-model false.",
            err=True,
        )


def _show(found: Schedule) -> None:
    click.echo(found.name)
    job = found.create_pipeline_job_request.pipeline_job
    runs = f"{found.started_run_count} of {found.max_run_count or 'any number'}"
    for title, value in (
        ("name", found.display_name),
        ("state", found.state.name.lower()),
        ("cron", found.cron),
        ("next run", _time(found.next_run_time)),
        ("start", _time(found.start_time)),
        ("end", _time(found.end_time)),
        ("runs", runs),
        ("account", job.service_account),
        ("model", str(job.runtime_config.parameter_values.get("model_display_name", ""))),
        ("parent", str(job.runtime_config.parameter_values.get("parent_model", ""))),
    ):
        if value:
            click.echo(f"  {title:<9} {value}")


def _as_json(found: Schedule) -> dict[str, Any]:
    from google.cloud.aiplatform_v1.types import Schedule

    content: dict[str, Any] = json.loads(Schedule.to_json(found))
    # The compiled pipeline, thousands of lines.
    content["createPipelineJobRequest"]["pipelineJob"].pop("pipelineSpec", None)
    return content


def _time(time: Any) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC") if time else ""
