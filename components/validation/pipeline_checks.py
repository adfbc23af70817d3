"""The checks on a pipeline's parameters, and the warnings about them.

Each check takes the parameters and gives back the problems it finds; none depends on another.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from importlib.machinery import PathFinder
from pathlib import Path

from kfp_llm_tuning.components.common.errors import Problem, collect
from kfp_llm_tuning.components.common.metrics import is_own_metric, primary_metric_problem
from kfp_llm_tuning.components.common.storage import (
    is_local,
    is_mounted_bucket,
    why_not_writable,
)
from kfp_llm_tuning.components.common.wording import short
from kfp_llm_tuning.components.data.sources.files import split_list
from kfp_llm_tuning.components.data.training_steps import said_twice
from kfp_llm_tuning.components.models.learning_rates import check_learning_rate
from kfp_llm_tuning.components.models.model_reference import ModelReference
from kfp_llm_tuning.components.parameters.pipeline import CHAT_TEMPLATE, TEXT_TEMPLATE
from kfp_llm_tuning.components.parameters.reading import limit_problems
from kfp_llm_tuning.components.parameters.tuner import read_further
from kfp_llm_tuning.components.tracking.weights_and_biases import missing_package
from kfp_llm_tuning.components.validation import regions, resource_names
from kfp_llm_tuning.components.validation.accelerator_choice import check_engine
from kfp_llm_tuning.components.validation.evaluation_source import SOURCES, held_out_twice
from kfp_llm_tuning.components.validation.pipeline_inputs import PARAMETERS, PipelineParameters
from kfp_llm_tuning.components.validation.platform_checks import (
    check_compiled_accelerator,
    check_credentials,
    check_registry,
    check_run_time,
)
from kfp_llm_tuning.components.validation.resource_names import MANAGED_DATASET
from kfp_llm_tuning.components.validation.vertex_checks import (
    check_deployment,
    check_encryption,
    check_tensorboard,
    check_tuning_job,
)

# Vertex AI's limit on display names.
_MAX_DISPLAY_NAME = 128


def _check_limits(parameters: PipelineParameters) -> list[Problem]:
    return [
        problem
        for name, parameter in PARAMETERS.items()
        for problem in limit_problems(getattr(parameters, name), parameter)
    ]


def _check_names(parameters: PipelineParameters) -> list[Problem]:
    problems = []
    name = parameters.model_display_name
    if not name.strip() or len(name) > _MAX_DISPLAY_NAME or not name.isprintable():
        problems.append(
            Problem(
                f"{short(name)} cannot name a model.",
                "model_display_name",
                f"1 to {_MAX_DISPLAY_NAME} printable characters, not only blanks",
            )
        )
    account = parameters.service_account
    if account and not resource_names.is_service_account(account):
        allowed = "NAME@PROJECT.iam.gserviceaccount.com, or empty for the default"
        problems.append(Problem(f"{short(account)} is none.", "service_account", allowed))
    if not parameters.traits.has_regions:
        return problems
    if not resource_names.is_project(parameters.project):
        problems.append(
            Problem(
                f"{short(parameters.project)} is no project.",
                "project",
                "a project's id (6 to 30 lower-case letters, digits and hyphens) or number",
            )
        )
    if not resource_names.is_api_endpoint(parameters.api_endpoint):
        problems.append(
            Problem(
                f"{short(parameters.api_endpoint)} is no endpoint.",
                "api_endpoint",
                "a host with or without a path, such as aiplatform.googleapis.com/ui",
            )
        )
    return problems


def _check_regions(parameters: PipelineParameters) -> list[Problem]:
    problems = []
    if parameters.traits.has_regions and not parameters.pipeline_region:
        problems.append(Problem("is empty.", "pipeline_region", ", ".join(regions.regions())))
    for name in ("pipeline_region", "location"):
        region = getattr(parameters, name)
        if region and (problem := regions.region_problem(region, name)):
            problems.append(problem)
    return problems


def _check_accelerator(parameters: PipelineParameters) -> list[Problem]:
    undecided_is_fine = not parameters.traits.has_regions or parameters.tuning_machine
    if not parameters.accelerator_type and undecided_is_fine:
        return []
    problem = regions.accelerator_problem(
        parameters.accelerator_type.strip(), parameters.pipeline_region
    )
    return [problem] if problem else []


def _check_dataset(parameters: PipelineParameters) -> list[Problem]:
    uri, name = parameters.dataset_uri, parameters.dataset_name
    problems = []
    if uri and name:
        what = "dataset_uri and dataset_name exclude one another."
        problems.append(Problem(what, "dataset_uri, dataset_name", fix="Give one of them."))
    if not uri and not name:
        what = "there is no training data."
        problems.append(
            Problem(what, "dataset_uri", "a file, a folder or hf://org/name", "Give dataset_uri.")
        )
    if name and not parameters.traits.manages_datasets:
        problems.append(
            Problem(
                f"managed datasets are Vertex AI's, and the platform is {parameters.platform}.",
                "dataset_name",
                fix="Give dataset_uri.",
            )
        )
    elif name and MANAGED_DATASET.location(name) is None:
        what = f"{short(name)} is no managed dataset."
        problems.append(Problem(what, "dataset_name", MANAGED_DATASET.template))
    for where in ("dataset_uri", "evaluation_data_uri"):
        uri = getattr(parameters, where)
        problems += _storage_problems(parameters, where, uri, split_list(uri))
    output = parameters.evaluation_output_root_dir
    problems += _storage_problems(parameters, "evaluation_output_root_dir", output, [output])
    return problems + _output_problems(parameters)


def _storage_problems(
    parameters: PipelineParameters, where: str, uri: str, places: list[str]
) -> list[Problem]:
    if uri and not uri.strip():
        return [Problem("is blank.", where, "a URI, or empty for none")]
    if not uri or not parameters.traits.has_regions:
        return []
    return [
        Problem(
            f"{short(place)} is a path of one machine, which Vertex AI cannot read.",
            where,
            "gs://BUCKET/PATH",
            "Copy it to a bucket.",
        )
        for place in places
        if is_local(place) and not is_mounted_bucket(place)
    ]


def _output_problems(parameters: PipelineParameters) -> list[Problem]:
    """Tells, before anything is tuned, where evaluations could not be written on this machine."""
    uri = parameters.evaluation_output_root_dir
    reason = why_not_writable(uri) if uri.strip() and parameters.traits.runs_here else ""
    if not reason:
        return []
    what = f"cannot write to {short(uri)}: {reason}."
    return [Problem(what, "evaluation_output_root_dir", "a folder that can be made, or its URI")]


def _check_epochs(parameters: PipelineParameters) -> list[Problem]:
    # Steps that were given as they are by default cannot be told from those that were not given.
    given = parameters.train_steps != PARAMETERS["train_steps"].default
    return [said_twice()] if parameters.epochs and given else []


def _check_evaluation(parameters: PipelineParameters) -> list[Problem]:
    both = parameters.evaluation_data_uri and parameters.evaluation_fraction
    return [held_out_twice()] if both else []


def _check_learning_rate(parameters: PipelineParameters) -> list[Problem]:
    problems: list[Problem] = []
    with collect(problems):
        check_learning_rate(parameters.learning_rate, parameters.tuning_method)
    return problems


def _check_tuner_arguments(parameters: PipelineParameters) -> list[Problem]:
    further, problems = read_further(parameters.tuner_arguments)
    # Elsewhere the image of the tasks says what is installed, and ours has all.
    if parameters.traits.runs_here:
        problems += missing_package(str(further.get("report_to", "")))
    return problems


def _check_primary_metric(parameters: PipelineParameters) -> list[Problem]:
    name = parameters.primary_metric
    problem = primary_metric_problem(name)
    if problem is None and is_own_metric(name) and parameters.traits.runs_here:
        problem = _missing_module(name)
    return [problem] if problem else []


def _missing_module(own_metric: str) -> Problem | None:
    """Tells, before anything is tuned, that this machine has no module of that name."""
    module = own_metric.partition(":")[0].partition(".")[0]
    if PathFinder.find_spec(module, [str(Path.cwd()), *sys.path]):
        return None
    what = f"there is no module {module}."
    fix = "Start the run from the folder that it stands in, or put that on PYTHONPATH."
    return Problem(what, "primary_metric", fix=fix)


def _check_gate(parameters: PipelineParameters) -> list[Problem]:
    if parameters.gate_metric and not parameters.has_evaluation:
        what = "a gate needs an evaluation set: without one nothing would ever be registered."
        return [Problem(what, "gate_metric", fix=f"Give {SOURCES}.")]
    threshold = parameters.gate_threshold
    if threshold and math.isfinite(threshold) and not parameters.gate_metric:
        what = f"{threshold!r} limits nothing without a metric."
        return [Problem(what, "gate_threshold", fix="Give gate_metric.")]
    return []


CHECKS: tuple[Callable[[PipelineParameters], list[Problem]], ...] = (
    _check_limits,
    _check_names,
    _check_regions,
    _check_accelerator,
    check_engine,
    _check_dataset,
    _check_epochs,
    _check_evaluation,
    _check_learning_rate,
    _check_tuner_arguments,
    _check_primary_metric,
    _check_gate,
    check_tensorboard,
    check_encryption,
    check_tuning_job,
    check_deployment,
    check_credentials,
    check_registry,
    check_compiled_accelerator,
    check_run_time,
)


def format_problems(parameters: PipelineParameters, reference: ModelReference) -> list[Problem]:
    """Checks that the model takes the template's kind of data.

    Args:
        parameters: The parameters.
        reference: The model that they name.

    Returns:
        What is wrong.
    """
    problems = []
    if parameters.template == CHAT_TEMPLATE and reference.text_only:
        what = f"{reference.name} takes text, and {CHAT_TEMPLATE} tunes chat models."
        fix = f"Use {TEXT_TEMPLATE}, or a chat model such as chat-bison@002."
        problems.append(Problem(what, "large_model_reference", "a chat model", fix))
    if parameters.default_context and reference.text_only:
        what = f"is given, but {reference.name} takes text without a context."
        problems.append(Problem(what, "default_context", "empty, or a chat model"))
    return problems
