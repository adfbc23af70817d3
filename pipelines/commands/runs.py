"""``kfp-llm-tuning runs``: the runs on this machine."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from kfp_llm_tuning.components.common.errors import Problem, UserError, raise_all
from kfp_llm_tuning.components.common.wording import counted
from kfp_llm_tuning.pipelines.commands.completion import complete_runs
from kfp_llm_tuning.pipelines.commands.run_directory_options import output_dir_option
from kfp_llm_tuning.pipelines.commands.tables import print_table
from kfp_llm_tuning.pipelines.local_runs import run_directory, run_list
from kfp_llm_tuning.pipelines.local_runs.run_advice import advise
from kfp_llm_tuning.pipelines.local_runs.run_list import SeenRun
from kfp_llm_tuning.pipelines.local_runs.run_summary import RunSummary, print_outcome
from kfp_llm_tuning.pipelines.terminal.text import format_seconds, output_console

_json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON.")
_AGE = re.compile(r"(?P<number>\d+)(?P<unit>[mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@click.group()
def runs() -> None:
    """List, show or delete the runs on this machine."""


@runs.command("list")
@output_dir_option
@_json_option
def list_runs(output_dir: Path, as_json: bool) -> None:
    """List the runs, the last begun first."""
    seen = _seen(output_dir)
    if as_json:
        click.echo(json.dumps([_as_json(run) for run in seen], indent=2, default=str))
    elif seen:
        rows = [_row(run) for run in seen]
        print_table(("RUN", "STATE", "MODEL", "DATA", "STARTED", "TIME", "METRIC"), rows)
    else:
        click.echo(f"No runs in {output_dir}.")


@runs.command()
@click.argument("run", required=False, shell_complete=complete_runs)
@output_dir_option
@_json_option
def show(run: str | None, output_dir: Path, as_json: bool) -> None:
    """Show a run: its parameters, its tasks, what came of it, and what to type next.

    RUN is a run's name or folder; the last begun by default.
    """
    if run is None:
        seen = _seen(output_dir)
        raise_all([] if seen else [Problem(f"no runs in {output_dir}.", fix="See --output-dir.")])
        found = seen[0]
    else:
        found = run_list.see(run_directory.named(output_dir, run, "RUN"))
    if as_json:
        click.echo(json.dumps(_as_json(found), indent=2, default=str))
    else:
        _show(found)


def _age(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Any:
    if value is None:
        return None
    found = _AGE.fullmatch(value)
    if not found:
        raise click.BadParameter("is no age such as 12h, 30d or 4w.")
    return timedelta(**{_UNITS[found["unit"]]: int(found["number"])})


@runs.command()
@click.argument("names", metavar="[RUN]...", nargs=-1, shell_complete=complete_runs)
@output_dir_option
@click.option(
    "--older-than", callback=_age, metavar="AGE", help="Those begun so long ago: 12h, 30d, 4w."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(
    names: tuple[str, ...], output_dir: Path, older_than: timedelta | None, yes: bool
) -> None:
    """Delete runs: their logs, reports, checkpoints and weights.

    What a run registered stays: the registry has files of its own, and so have MLflow's figures.
    """
    chosen = _chosen(names, output_dir, older_than)
    if not chosen:
        click.echo("No run is that old." if older_than else "No runs.")
        return
    rows = [
        (run.directory.name, run.state, _started(run), _size(run.bytes()), _kept(run))
        for run in chosen
    ]
    print_table(("RUN", "STATE", "STARTED", "SIZE", "STAYS REGISTERED"), rows)
    count = counted(len(chosen), "run")
    if not yes:
        click.confirm(f"Delete {count} with logs, reports and weights?", abort=True)
    for run in chosen:
        run_list.delete(run)
    click.echo(f"Deleted {count}.")
    if any(map(_kept, chosen)):
        click.echo("Registered models stay: `kfp-llm-tuning models delete` deletes them.")


def _chosen(names: Sequence[str], output_dir: Path, older_than: timedelta | None) -> list[SeenRun]:
    if not names and older_than is None:
        raise UserError(Problem("nothing to delete.", fix="Name runs, or give --older-than AGE."))
    if names:
        found = {run_directory.named(output_dir, name, "RUN"): None for name in names}
        seen = [run_list.see(directory) for directory in found]
        fix = "Stop it with Ctrl-C where it runs, or wait until it ends."
        raise_all(
            [
                Problem(f"{run.directory.name} is running.", "RUN", fix=fix)
                for run in seen
                if run.at_work
            ]
        )
    else:
        seen = [run for run in _seen(output_dir) if not run.at_work]
    return [run for run in seen if older_than is None or run_list.begun_before(run, older_than)]


def _seen(output_dir: Path) -> list[SeenRun]:
    seen, problems = run_list.see_all(output_dir)
    for problem in problems:
        click.echo(f"Note: {problem.what} It is left out.", err=True)
    return seen


def _row(run: SeenRun) -> tuple[str, ...]:
    summary = run.summary
    return (
        run.directory.name,
        f"{run.state} {summary.registered_as}".strip() if summary else run.state,
        run.model,
        run.data,
        _started(run),
        format_seconds(run.record.seconds) if run.record.seconds else "",
        _metric(summary) if summary else "",
    )


def _metric(summary: RunSummary) -> str:
    alarms = len(summary.alarms)
    warned = f", {counted(alarms, 'alarm')}" if alarms else ""
    return summary.primary_change + warned


def _started(run: SeenRun) -> str:
    return run.record.started_at[:16].replace("T", " ")


def _kept(run: SeenRun) -> str:
    return run.summary.registered_as if run.summary else ""


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _as_json(run: SeenRun) -> dict[str, object]:
    record = run.record
    return {
        "run": run.directory.name,
        "state": run.state,
        "directory": str(run.directory),
        "template": record.template,
        "model": run.model,
        "started_at": record.started_at,
        "seconds": record.seconds,
        "parameters": run.parameters,
        "labels": dict(record.labels),
        "tasks": [
            {
                "name": task.name,
                "state": task.state,
                "seconds": task.seconds,
                "problems": [dataclasses.asdict(problem) for problem in task.problems],
            }
            for task in record.tasks
        ],
        "registry_uri": run.registry_uri,
        "registered_as": _kept(run),
        "evaluation": run.summary.evaluation if run.summary else None,
        "reports": [str(report) for report in run.summary.reports] if run.summary else [],
    }


def _show(run: SeenRun) -> None:
    record = run.record
    click.echo(f"{run.directory.name}  {run.state}")
    lines = {
        "template": record.template,
        "started": f"{_started(run)} UTC",
        "time": format_seconds(record.seconds) if record.seconds else "",
        "folder": str(run.directory),
        **{f"label {name}": value for name, value in record.labels.items()},
    }
    _print_values(lines)
    click.echo("\nParameters that differ from their defaults")
    _print_values(run.changed_parameters())
    if record.tasks:
        click.echo("")
        rows = [(task.name, task.state, format_seconds(task.seconds)) for task in record.tasks]
        print_table(("TASK", "STATE", "TIME"), rows)
    for task in run.failed_tasks:
        for problem in task.problems:
            click.echo(f"  ! {task.name}: {problem}")
        click.echo(f"  ! whole log: {run.log_directory / f'{task.name}.log'}")
    click.echo("")
    if run.summary:
        print_outcome(output_console(), run.summary, run.registry_uri)
        return
    for line in _next(run):
        click.echo(line)


def _print_values(values: dict[str, Any]) -> None:
    width = max(map(len, values), default=0)
    for name, value in values.items():
        if value != "":
            click.echo(f"  {name:<{width}}  {value}")


def _next(run: SeenRun) -> list[str]:
    name, parent = run.directory.name, run.directory.parent
    if run.at_work:
        return [f"It is at work. Its logs are in {run.log_directory}."]
    if run.state == run_list.DONE:
        return [f"Done; its outputs are in {run.directory / 'tasks'}."]
    resume = f"kfp-llm-tuning run --resume {name} --output-dir {parent}"
    problems = [problem for task in run.failed_tasks for problem in task.problems]
    return advise(problems, run.parameters, resume)
