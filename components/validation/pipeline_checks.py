"""The checks on a pipeline's parameters, and the warnings about them.

Each check takes the parameters and gives back the problems it finds; none depends on another.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from kfp_llm_tuning.components.common.errors import Problem, collect
from kfp_llm_tuning.components.common.gate_metrics import GATE_METRICS
from kfp_llm_tuning.components.common.storage import (
    is_local,
    is_mounted_bucket,
    why_not_writable,
)
from kfp_llm_tuning.components.common.wording import short
from kfp_llm_tuning.components.models.model_references import ModelReference, check_learning_rate
from kfp_llm_tuning.components.validation import regions, resource_names
from kfp_llm_tuning.components.validation.accelerator_choice import check_engine
from kfp_llm_tuning.components.validation.pipeline_inputs import (
    CHAT_TEMPLATE,
    COMPILED_ACCELERATORS,
    PLATFORMS,
    TEMPLATES,
    TEXT_TEMPLATE,
    PipelineParameters,
)
from kfp_llm_tuning.components.validation.platform_checks import (
    check_compiled_accelerator,
    check_credentials,
    check_registry,
    check_run_time,
)
from kfp_llm_tuning.components.validation.problem_texts import unknown
from kfp_llm_tuning.components.validation.resource_names import MANAGED_DATASET
from kfp_llm_tuning.components.validation.vertex_checks import (
    check_deployment,
    check_encryption,
    check_tensorboard,
    check_tuning_job,
)

# Vertex AI's limit on display names.
_MAX_DISPLAY_NAME = 128


def _check_choices(parameters: PipelineParameters) -> list[Problem]:
    choices = {
        "template": TEMPLATES,
        "platform": PLATFORMS,
        "platform_accelerator": ("", *COMPILED_ACCELERATORS),
        "gate_metric": ("", *GATE_METRICS),
    }
    problems = [
        unknown(name, getattr(parameters, name), allowed)
        for name, allowed in choices.items()
        if getattr(parameters, name) not in allowed
    ]
    selection = parameters.enable_checkpoint_selection
    if selection.lower() not in (allowed := ("true", "false", "default")):
        problems.append(unknown("enable_checkpoint_selection", selection, allowed))
    return problems


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
    if not parameters.on_vertex:
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
    if parameters.on_vertex and not parameters.pipeline_region:
        problems.append(Problem("is empty.", "pipeline_region", ", ".join(regions.regions())))
    for name in ("pipeline_region", "location"):
        region = getattr(parameters, name)
        if region and (problem := regions.region_problem(region, name)):
            problems.append(problem)
    return problems


def _check_accelerator(parameters: PipelineParameters) -> list[Problem]:
    undecided_is_fine = not parameters.on_vertex or parameters.tuning_machine
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
            Problem(what, "dataset_uri", "the URI of a JSONL file", "Give dataset_uri.")
        )
    if name and not parameters.on_vertex:
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
    for where in ("dataset_uri", "evaluation_data_uri", "evaluation_output_root_dir"):
        problems += _storage_problems(parameters, where)
    return problems + _output_problems(parameters)


def _storage_problems(parameters: PipelineParameters, where: str) -> list[Problem]:
    uri = getattr(parameters, where)
    if uri and not uri.strip():
        return [Problem("is blank.", where, "a URI, or empty for none")]
    if uri and parameters.on_vertex and is_local(uri) and not is_mounted_bucket(uri):
        what = f"{short(uri)} is a path of one machine, which Vertex AI cannot read."
        return [Problem(what, where, "gs://BUCKET/PATH", "Copy it to a bucket.")]
    return []


def _output_problems(parameters: PipelineParameters) -> list[Problem]:
    """Tells, before anything is tuned, where evaluations could not be written on this machine."""
    uri = parameters.evaluation_output_root_dir
    reason = why_not_writable(uri) if uri.strip() and parameters.platform == "local" else ""
    if not reason:
        return []
    what = f"cannot write to {short(uri)}: {reason}."
    return [Problem(what, "evaluation_output_root_dir", "a folder that can be made, or its URI")]


def _check_numbers(parameters: PipelineParameters) -> list[Problem]:
    problems = [
        Problem(f"{getattr(parameters, name)!r} is out of range.", name, allowed)
        for name, in_range, allowed in (
            (
                "train_steps",
                lambda n: n <= 10_000_000,
                "up to 10,000,000; 0 or less for the method's own",
            ),
            ("evaluation_interval", lambda n: 1 <= n <= 10_000_000, "from 1 to 10,000,000"),
            ("learning_rate_multiplier", lambda x: 0 <= x <= 1000, "from 0 to 1,000"),
            ("seed", lambda n: 0 <= n < 2**32, "from 0 to 4,294,967,295"),
            ("gate_threshold", math.isfinite, "a finite number"),
        )
        if not in_range(getattr(parameters, name))
    ]
    return problems + _rate_problems(parameters)


def _rate_problems(parameters: PipelineParameters) -> list[Problem]:
    problems: list[Problem] = []
    with collect(problems):
        check_learning_rate(parameters.learning_rate, parameters.tuning_method)
    return problems


def _check_gate(parameters: PipelineParameters) -> list[Problem]:
    if parameters.gate_metric and not parameters.evaluation_data_uri:
        what = "a gate needs an evaluation set: without one nothing would ever be registered."
        return [Problem(what, "gate_metric", fix="Give evaluation_data_uri.")]
    threshold = parameters.gate_threshold
    if threshold and math.isfinite(threshold) and not parameters.gate_metric:
        what = f"{threshold!r} limits nothing without a metric."
        return [Problem(what, "gate_threshold", fix="Give gate_metric.")]
    return []


CHECKS: tuple[Callable[[PipelineParameters], list[Problem]], ...] = (
    _check_choices,
    _check_names,
    _check_regions,
    _check_accelerator,
    check_engine,
    _check_dataset,
    _check_numbers,
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
