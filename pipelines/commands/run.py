"""``kfp-llm-tuning run``: the whole pipeline on this machine."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from kfp_llm_tuning.components.common.errors import (
    EXIT_INTERNAL_ERROR,
    EXIT_RUN_AGAIN,
    EXIT_USER_ERROR,
    Problem,
    UserError,
)
from kfp_llm_tuning.components.common.storage import is_local, local_path
from kfp_llm_tuning.pipelines import run_directory
from kfp_llm_tuning.pipelines.parameters import TEMPLATES, TEXT, option_name
from kfp_llm_tuning.pipelines.requests import (
    CHAT_TEMPLATE,
    DEFAULT_TEMPLATE,
    Request,
    read_parameters_file,
    read_request,
)

EXIT_GATE = 3


def _parameter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds an option for every pipeline parameter, in their order."""
    for parameter in reversed(list(TEXT.values())):
        default = "" if parameter.default in (None, "") else f" [default: {parameter.default}]"
        # Values stay text until the template is known: one place converts and checks them all.
        option = click.option(
            option_name(parameter.name), parameter.name, help=parameter.help + default
        )
        command = option(command)
    return command


@click.command(context_settings={"max_content_width": 100})
@click.option("--template", type=click.Choice(list(TEMPLATES)), help="[default: by the model]")
@click.option("--params", type=click.Path(path_type=Path), help="Parameters, YAML or JSON.")
@click.option(
    "--request", "request_file", type=click.Path(path_type=Path), help="A published REST body."
)
@click.option(
    "--output-dir",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder of all runs and of the model registry.",
)
@click.option(
    "--resume",
    is_flag=False,
    flag_value=run_directory.LATEST,
    metavar="[RUN]",
    help="Continue a run that failed or was killed: the last one, or the one named.",
)
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Repeatable.")
@_parameter_options
@click.pass_context
def run(
    context: click.Context,
    /,
    template: str | None,
    params: Path | None,
    request_file: Path | None,
    output_dir: Path,
    resume: str | None,
    labels: tuple[str, ...],
    **options: str | None,
) -> None:
    """Tune, evaluate and register a model on this machine.

    Parameters come from --request, --params and the options below, later ones first. Exit codes:
    0 done, 1 a mistake in data or parameters, 3 refused by the gate, 13 a fault of ours,
    75 interrupted: run again with --resume.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if resume is not None:
        if given or params or request_file or template or labels:
            raise UserError(
                Problem(
                    "a resumed run keeps its parameters.",
                    "--resume",
                    fix="Give no parameters, or start a new run without --resume.",
                )
            )
        directory = run_directory.find(output_dir, resume)
    else:
        request = _request(template, params, request_file, given)
        for note in request.notes:
            click.echo(f"Note: {note}", err=True)
        parameters = request.parameters()
        labelled = {**request.labels, **_labels(labels)}
        directory = run_directory.create(output_dir, request.template, parameters, labelled)
    context.exit(_run_in(directory))


def _request(
    template: str | None, params: Path | None, request_file: Path | None, given: dict[str, str]
) -> Request:
    base = read_request(request_file) if request_file else None
    values: dict[str, Any] = dict(base.values) if base else {}
    values |= read_parameters_file(params) if params else {}
    values |= given
    if not values:
        raise UserError(
            Problem("nothing to tune.", fix="Give --dataset-uri or --params; see --help.")
        )
    # Both have no meaning without a cloud; a request that names them is left as it is.
    values.setdefault("project", "local")
    values.setdefault("model_display_name", _display_name(values))
    for name in ("dataset_uri", "evaluation_data_uri"):
        # Made absolute, so that the run can be resumed from another folder.
        if (uri := values.get(name)) and isinstance(uri, str) and is_local(uri):
            values[name] = str(local_path(uri).absolute())
    chosen = template or (base.template if base else None) or _template_for(values)
    return dataclasses.replace(base or Request(chosen, values), template=chosen, values=values)


def _labels(pairs: tuple[str, ...]) -> dict[str, str]:
    labels = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise UserError(Problem(f"{pair!r} is no label.", "--label", allowed="KEY=VALUE"))
        labels[key] = value
    return labels


def _display_name(values: dict[str, Any]) -> str:
    dataset = str(values.get("dataset_uri") or values.get("dataset_name") or "model")
    return f"{Path(dataset).name.partition('.')[0]}-tuned"


def _template_for(values: dict[str, Any]) -> str:
    """Chooses by the model's kind; for a model that is both, by the default_context."""
    from kfp_llm_tuning.components.tuning.model_references import resolve

    reference = values.get("large_model_reference")
    if reference is None:
        return DEFAULT_TEMPLATE
    is_chat = resolve(str(reference)).kind in ("chat", "codechat") or values.get("default_context")
    return CHAT_TEMPLATE if is_chat else DEFAULT_TEMPLATE


def _run_in(directory: Path) -> int:
    from kfp_llm_tuning.components.upload.registry_location import default_registry_uri
    from kfp_llm_tuning.pipelines import platforms
    from kfp_llm_tuning.pipelines.build import build
    from kfp_llm_tuning.pipelines.local_runner import LocalRunner, stop_left_behind
    from kfp_llm_tuning.pipelines.run_display import RunDisplay, format_seconds
    from kfp_llm_tuning.pipelines.run_summary import print_summary, summarise

    display = RunDisplay()
    with run_directory.locked(directory):
        if left := stop_left_behind(directory):
            display.console.print(f"Stopped {left} processes that a killed run had left behind.")
        record = run_directory.read(directory)
        display.console.print(f"[bold]{record.template}[/]  run {directory.name}")
        registry_uri = default_registry_uri(directory.parent)
        platform = platforms.local(directory, registry_uri, record.labels)
        runner = LocalRunner(directory, display)
        begun = time.monotonic()
        succeeded = runner.run(build(record.template, platform), dict(record.parameters))
        seconds = time.monotonic() - begun
        state = "succeeded" if succeeded else "interrupted" if runner.interrupted else "failed"
        tasks = tuple(
            {"name": task.name, "state": task.state, "seconds": round(task.seconds, 2)}
            for task in runner.tasks
        )
        record = dataclasses.replace(record, state=state, seconds=round(seconds, 2), tasks=tasks)
        run_directory.write(directory, record)
        if succeeded:
            summary = summarise(directory, runner.tasks)
            print_summary(display.console, summary, registry_uri, seconds)
            return EXIT_GATE if summary.refused else 0
        display.console.print(f"[red]{state}[/] after {format_seconds(seconds)}.")
        display.console.print(
            f"Go on with: kfp-llm-tuning run --resume {directory.name}"
            f" --output-dir {directory.parent}",
            soft_wrap=True,
        )
        if runner.interrupted:
            return EXIT_RUN_AGAIN
        codes = [task.exit_code for task in runner.tasks if task.state == "failed"]
        return EXIT_INTERNAL_ERROR if EXIT_INTERNAL_ERROR in codes else EXIT_USER_ERROR
