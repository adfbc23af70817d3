"""A run of a tuning pipeline on this machine: checked as a whole, begun, and gone on with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from kfp_llm_tuning.components.common.errors import Problem, UserError, collect, raise_all
from kfp_llm_tuning.components.common.platforms import LOCAL
from kfp_llm_tuning.components.common.registry_location import default_registry_uri
from kfp_llm_tuning.components.data.sources.files import check_stores_reached
from kfp_llm_tuning.components.models.model_reference import ModelReference
from kfp_llm_tuning.components.models.model_references import resolve
from kfp_llm_tuning.components.parameters.pipeline import TEMPLATES, TUNER_ARGUMENTS
from kfp_llm_tuning.components.validation.base_model import base_model_problems
from kfp_llm_tuning.components.validation.data_version import data_version
from kfp_llm_tuning.pipelines.local_runs import run_directory, run_record
from kfp_llm_tuning.pipelines.local_runs.default_model import unnamed_model_problem
from kfp_llm_tuning.pipelines.local_runs.machine_here import (
    disk_problems,
    download_bytes,
    memory_problems,
)
from kfp_llm_tuning.pipelines.local_runs.platform import local_platform
from kfp_llm_tuning.pipelines.local_runs.run_directory import FoundRun
from kfp_llm_tuning.pipelines.local_runs.run_summary import RunSummary, summarise
from kfp_llm_tuning.pipelines.requests.parameters import parse
from kfp_llm_tuning.pipelines.requests.request import CHAT_TEMPLATE, Request
from kfp_llm_tuning.pipelines.requests.request_check import checked_parameters
from kfp_llm_tuning.pipelines.requests.request_defaults import with_absolute_paths
from kfp_llm_tuning.pipelines.terminal.terminal_output import at_work

if TYPE_CHECKING:
    from rich.console import Console

    from kfp_llm_tuning.pipelines.local_runs.local_run import LocalRun

DATA_INPUTS = ("dataset_uri", "evaluation_data_uri")


@dataclass(frozen=True)
class TuningRun:
    """What became of a run.

    Attributes:
        done: The run.
        summary: What it made; None unless it succeeded.
    """

    done: LocalRun
    summary: RunSummary | None


def check_installed() -> None:
    """Looks for what a plain install lacks, before tasks fail for want of it one by one.

    Raises:
        UserError: If a package is missing.
    """
    packages = ("datasets", "mlflow", "torch", "transformers")
    if missing := [package for package in packages if find_spec(package) is None]:
        fix = "Install it: pip install 'kfp-llm-tuning[tuning]'."
        raise UserError(Problem(f"{missing[0]} is not installed.", fix=fix))


def begin(
    request: Request,
    output_dir: Path,
    own_data: Mapping[str, Path] | None = None,
    *,
    confirm_download: Callable[[str], None] | None = None,
) -> Path:
    """Checks all that the run's first task will, and makes the run's folder.

    Args:
        request: What to run.
        output_dir: The folder of all runs.
        own_data: Files that become the run's own, by the root input that names them in the
            request; they are moved into its folder.
        confirm_download: Asks whether a large model is to be downloaded, which it is told of in a
            sentence, and raises where it is not; None to ask nobody.

    Returns:
        The folder; a request that is refused leaves none.

    Raises:
        UserError: With every problem found.
    """
    request = with_absolute_paths(request)
    # It has no meaning without a cloud; a request that names it is left as it is.
    request = dataclasses.replace(request, values={"project": LOCAL.name, **request.values})
    parameters = _checked(request, output_dir)
    if confirm_download and (size := download_bytes(_reference(request.template, parameters))):
        confirm_download(
            f"{_name(request.template, parameters)} is {size / 1e9:.0f} GB to download."
        )
    return run_directory.create(
        output_dir, request.template, parameters, request.labels, own_data or {}
    )


def to_resume(output_dir: Path, name: str) -> FoundRun:
    """Finds the run to resume, and checks that its parameters are still known.

    Args:
        output_dir: The folder of all runs.
        name: A run's name, its folder, or ``latest``.

    Returns:
        The run.

    Raises:
        UserError: If there is none, or if its parameters are none of this version's.
    """
    found = run_directory.find(output_dir, name, TEMPLATES)
    record = run_record.read(found.directory)
    parse(record.parameters, TEMPLATES[record.template])
    return found


def go_on(directory: Path, resume_command: str, console: Console) -> TuningRun:
    """Runs what is not done yet of a run.

    Args:
        directory: The run's folder.
        resume_command: What a person types to go on with a run that did not succeed.
        console: Shows the tasks.

    Returns:
        What became of it.

    Raises:
        UserError: If another process is at work in it.
    """
    from kfp_llm_tuning.pipelines.graphs.build import build
    from kfp_llm_tuning.pipelines.local_runs.local_run import run_in

    done = run_in(directory, build, resume_command, console)
    if done.exit_code:
        return TuningRun(done, None)
    return TuningRun(done, summarise(directory, {task.name: task.outputs for task in done.tasks}))


def _checked(request: Request, output_dir: Path) -> dict[str, Any]:
    platform = local_platform(output_dir, default_registry_uri(output_dir), request.labels)
    problems: list[Problem] = []
    parameters: dict[str, Any] = {}
    if unnamed := unnamed_model_problem(request):
        problems.append(unnamed)
    with collect(problems):
        parameters, _ = checked_parameters(request, platform.facts)
        problems += _model_problems(request.template, parameters)
        if not unnamed:
            reference = _reference(request.template, parameters)
            further = parameters.get(TUNER_ARGUMENTS, {})
            problems += memory_problems(reference, further)
            problems += disk_problems(reference, further, output_dir)
    with collect(problems):
        _check_data({name: request.values.get(name) for name in DATA_INPUTS})
    raise_all(problems)
    return parameters


def _check_data(given: Mapping[str, Any]) -> None:
    """Looks for the files of both sets."""
    named = {name: uri for name, uri in given.items() if _names_a_file(uri)}
    problems: list[Problem] = []
    for name, uri in named.items():
        with collect(problems):
            check_stores_reached(uri, name)
    raise_all(problems)
    data_version(**named)


def _name(template: str, parameters: Mapping[str, Any]) -> str:
    default = TEMPLATES[template]["large_model_reference"].default
    return str(parameters.get("large_model_reference", default))


def _reference(template: str, parameters: Mapping[str, Any]) -> ModelReference:
    method = str(parameters.get("tuning_method", TEMPLATES[template]["tuning_method"].default))
    return resolve(_name(template, parameters), tuning_method=method)


def _model_problems(template: str, parameters: Mapping[str, Any]) -> list[Problem]:
    reference = _reference(template, parameters)
    with at_work("Looking at the base model"):
        return base_model_problems(reference, here=True, conversations=template == CHAT_TEMPLATE)


def _names_a_file(uri: Any) -> TypeGuard[str]:
    return isinstance(uri, str) and bool(uri.strip())
