"""``kfp-llm-tuning run``: the whole pipeline on this machine."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

import click

from kfp_llm_tuning.components.common.errors import Problem, UserError, collect, raise_all
from kfp_llm_tuning.components.common.platforms import LOCAL
from kfp_llm_tuning.components.common.registry_location import default_registry_uri
from kfp_llm_tuning.components.models.model_references import resolve
from kfp_llm_tuning.components.parameters.pipeline import TEMPLATES
from kfp_llm_tuning.components.validation.base_model import base_model_problems
from kfp_llm_tuning.components.validation.data_version import data_version
from kfp_llm_tuning.pipelines.commands.option_groups import GroupedCommand
from kfp_llm_tuning.pipelines.commands.request_options import (
    RequestSource,
    gather_request,
    request_options,
    with_absolute_paths,
)
from kfp_llm_tuning.pipelines.commands.run_directory_options import (
    directory_to_resume,
    run_directory_options,
)
from kfp_llm_tuning.pipelines.local_runs import run_directory, run_record
from kfp_llm_tuning.pipelines.local_runs.platform import local_platform
from kfp_llm_tuning.pipelines.requests.parameters import parse
from kfp_llm_tuning.pipelines.requests.request import CHAT_TEMPLATE, Request
from kfp_llm_tuning.pipelines.requests.request_check import checked_parameters
from kfp_llm_tuning.pipelines.terminal.terminal_output import at_work

EXIT_GATE = 3
_DATA = ("dataset_uri", "evaluation_data_uri")


@click.command(cls=GroupedCommand, context_settings={"max_content_width": 100})
@run_directory_options
@request_options
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
    source = RequestSource(request_file, params, given, template, labels)
    _check_installed()
    if resume is not None:
        if not source.empty:
            raise UserError(
                Problem(
                    "a resumed run keeps its parameters.",
                    "--resume",
                    fix="Give no parameters, or start a new run without --resume.",
                )
            )
        directory = directory_to_resume(output_dir, resume, TEMPLATES)
        record = run_record.read(directory)
        parse(record.parameters, TEMPLATES[record.template])
    else:
        request = _request(source)
        for note in request.notes:
            click.echo(f"Note: {note}", err=True)
        parameters = _checked(request, output_dir)
        directory = run_directory.create(output_dir, request.template, parameters, request.labels)
    context.exit(_run_in(directory))


def _check_installed() -> None:
    """Looks for what a plain install lacks, before tasks fail for want of it one by one."""
    for package in ("datasets", "mlflow", "torch", "transformers"):
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)


def _request(source: RequestSource) -> Request:
    request = with_absolute_paths(gather_request(source))
    # It has no meaning without a cloud; a request that names it is left as it is.
    return dataclasses.replace(request, values={"project": LOCAL.name, **request.values})


def _checked(request: Request, output_dir: Path) -> dict[str, Any]:
    """Checks all that the run's first task will: a request that is refused leaves no folder."""
    platform = local_platform(output_dir, default_registry_uri(output_dir), request.labels)
    problems: list[Problem] = []
    parameters: dict[str, Any] = {}
    with collect(problems):
        parameters, _ = checked_parameters(request, platform.facts)
        problems += _model_problems(request.template, parameters)
    with collect(problems):
        given = {name: request.values.get(name) for name in _DATA}
        data_version(**{name: uri for name, uri in given.items() if _names_a_file(uri)})
    raise_all(problems)
    return parameters


def _model_problems(template: str, parameters: Mapping[str, Any]) -> list[Problem]:
    default = TEMPLATES[template]["large_model_reference"].default
    reference = resolve(str(parameters.get("large_model_reference", default)))
    with at_work("Looking at the base model"):
        return base_model_problems(reference, here=True, conversations=template == CHAT_TEMPLATE)


def _names_a_file(uri: Any) -> TypeGuard[str]:
    return isinstance(uri, str) and bool(uri.strip())


def _run_in(directory: Path) -> int:
    from kfp_llm_tuning.pipelines.graphs.build import build
    from kfp_llm_tuning.pipelines.local_runs.local_run import run_in
    from kfp_llm_tuning.pipelines.local_runs.run_summary import print_summary, summarise
    from kfp_llm_tuning.pipelines.terminal.text import output_console

    console = output_console()
    resume = f"kfp-llm-tuning run --resume {directory.name} --output-dir {directory.parent}"
    done = run_in(directory, build, resume, console)
    if done.exit_code:
        return done.exit_code
    summary = summarise(directory, done.tasks)
    print_summary(console, summary, done.registry_uri, done.seconds)
    return EXIT_GATE if summary.refused else 0
