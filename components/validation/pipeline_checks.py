"""The checks on a pipeline's parameters, and the warnings about them.

Each check takes the parameters and gives back the problems it finds; none depends on another.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from difflib import get_close_matches

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.storage import is_local
from kfp_llm_tuning.components.evaluation.gate import GATE_METRICS
from kfp_llm_tuning.components.tuning.machine_specs import select_machine
from kfp_llm_tuning.components.tuning.model_references import ModelReference
from kfp_llm_tuning.components.validation import regions, resource_names
from kfp_llm_tuning.components.validation.pipeline_inputs import (
    CHAT_TEMPLATE,
    DEFAULT_EVALUATION_INTERVAL,
    PLATFORMS,
    TEMPLATES,
    TEXT_TEMPLATE,
    PipelineParameters,
)
from kfp_llm_tuning.components.validation.resource_names import (
    ENCRYPTION_KEY,
    MANAGED_DATASET,
    TENSORBOARD,
    ResourceForm,
)

# Vertex AI's limit on display names.
_MAX_DISPLAY_NAME = 128


def accelerator_of(parameters: PipelineParameters) -> str:
    """Decides which accelerator tunes: as given, else the machine's, else the region's.

    Args:
        parameters: Not necessarily valid.

    Returns:
        "TPU", "GPU", "CPU", or empty where nothing decides.
    """
    given, region = parameters.accelerator_type.strip(), parameters.pipeline_region
    if not given and parameters.tuning_machine:
        try:
            return select_machine("", parameters.tuning_machine).accelerator
        except UserError:
            return ""
    return regions.accelerator(given, region if parameters.on_vertex else "")


def _check_choices(parameters: PipelineParameters) -> list[Problem]:
    choices = {
        "template": TEMPLATES,
        "platform": PLATFORMS,
        "gate_metric": ("", *GATE_METRICS),
    }
    problems = [
        _unknown(name, getattr(parameters, name), allowed)
        for name, allowed in choices.items()
        if getattr(parameters, name) not in allowed
    ]
    selection = parameters.enable_checkpoint_selection
    if selection.lower() not in (allowed := ("true", "false", "default")):
        problems.append(_unknown("enable_checkpoint_selection", selection, allowed))
    return problems


def _check_names(parameters: PipelineParameters) -> list[Problem]:
    problems = []
    name = parameters.model_display_name
    if not name.strip() or len(name) > _MAX_DISPLAY_NAME or not name.isprintable():
        problems.append(
            Problem(
                f"{_short(name)} cannot name a model.",
                "model_display_name",
                f"1 to {_MAX_DISPLAY_NAME} printable characters, not only blanks",
            )
        )
    account = parameters.service_account
    if account and not resource_names.is_service_account(account):
        allowed = "NAME@PROJECT.iam.gserviceaccount.com, or empty for the default"
        problems.append(Problem(f"{_short(account)} is none.", "service_account", allowed))
    if not parameters.on_vertex:
        return problems
    if not resource_names.is_project(parameters.project):
        problems.append(
            Problem(
                f"{_short(parameters.project)} is no project.",
                "project",
                "a project's id (6 to 30 lower-case letters, digits and hyphens) or number",
            )
        )
    if not resource_names.is_api_endpoint(parameters.api_endpoint):
        problems.append(
            Problem(
                f"{_short(parameters.api_endpoint)} is no endpoint.",
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
        what = f"{_short(name)} is no managed dataset."
        problems.append(Problem(what, "dataset_name", MANAGED_DATASET.template))
    for where in ("dataset_uri", "evaluation_data_uri", "evaluation_output_root_dir"):
        problems += _storage_problems(parameters, where)
    return problems


def _storage_problems(parameters: PipelineParameters, where: str) -> list[Problem]:
    uri = getattr(parameters, where)
    if uri and not uri.strip():
        return [Problem("is blank.", where, "a URI, or empty for none")]
    if uri and parameters.on_vertex and is_local(uri):
        what = f"{_short(uri)} is a path of one machine, which Vertex AI cannot read."
        return [Problem(what, where, "gs://BUCKET/PATH", "Copy it to a bucket.")]
    return []


def _check_numbers(parameters: PipelineParameters) -> list[Problem]:
    problems = [
        Problem(f"{getattr(parameters, name)!r} is out of range.", name, allowed)
        for name, in_range, allowed in (
            ("train_steps", lambda n: 1 <= n <= 10_000_000, "from 1 to 10,000,000"),
            ("evaluation_interval", lambda n: 1 <= n <= 10_000_000, "from 1 to 10,000,000"),
            ("learning_rate_multiplier", lambda x: 0 < x <= 1000, "above 0 up to 1,000"),
            (
                "learning_rate",
                lambda x: x != 0 and -math.inf < x <= 1,
                "negative for the model's own, or above 0 up to 1",
            ),
            ("seed", lambda n: 0 <= n < 2**32, "from 0 to 4,294,967,295"),
            ("gate_threshold", math.isfinite, "a finite number"),
        )
        if not in_range(getattr(parameters, name))
    ]
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


def _check_tensorboard(parameters: PipelineParameters) -> list[Problem]:
    name, where = parameters.tensorboard_resource_id, "tensorboard_resource_id"
    if not name or not parameters.on_vertex:
        return []
    location = TENSORBOARD.location(name)
    if location is None:
        return [_wrong_form(name, where, TENSORBOARD)]
    if parameters.pipeline_region and location != parameters.pipeline_region:
        what = f"is in {location}, but the pipeline runs in {parameters.pipeline_region}."
        fix = "Give a TensorBoard of that region, or run the pipeline in the TensorBoard's."
        return [Problem(what, where, f"a TensorBoard in {parameters.pipeline_region}", fix)]
    return []


def _check_encryption(parameters: PipelineParameters) -> list[Problem]:
    """Checks the rule as published: GPU with every region us-central1, or TPU without the key."""
    key, where = parameters.encryption_spec_key_name, "encryption_spec_key_name"
    if not key:
        return []
    location = ENCRYPTION_KEY.location(key)
    if location is None:
        return [_wrong_form(key, where, ENCRYPTION_KEY)]
    if not parameters.on_vertex:
        return []
    if accelerator_of(parameters) == "TPU":
        if parameters.tpu_training_skip_cmek:
            return []
        what = "tuning on TPU cannot use a customer-managed encryption key."
        fix = "Use GPU, or set tpu_training_skip_cmek to tune without the key."
        return [Problem(what, where, fix=fix)]
    only = regions.encryption_region()
    return [
        Problem(f"with an encryption key {name} must be {only}, not {region!r}.", name, only)
        for name, region in (
            ("pipeline_region", parameters.pipeline_region),
            ("location", parameters.model_location),
            (where, location),
        )
        if region != only
    ]


CHECKS: tuple[Callable[[PipelineParameters], list[Problem]], ...] = (
    _check_choices,
    _check_names,
    _check_regions,
    _check_accelerator,
    _check_dataset,
    _check_numbers,
    _check_gate,
    _check_tensorboard,
    _check_encryption,
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


def warnings_about(parameters: PipelineParameters) -> list[str]:
    """Finds what is legal but surely not meant.

    Args:
        parameters: Valid parameters.

    Returns:
        One sentence each.
    """
    warnings = []
    key, on_tpu = parameters.encryption_spec_key_name, accelerator_of(parameters) == "TPU"
    if key and not parameters.on_vertex:
        warnings.append(
            f"encryption_spec_key_name has no effect on the platform {parameters.platform}: "
            "files are encrypted as their storage is."
        )
    elif key and on_tpu:
        warnings.append(
            "tpu_training_skip_cmek is set: tuning on TPU runs without the encryption key."
        )
    if parameters.tuning_machine and parameters.platform == "local":
        warnings.append("tuning_machine has no effect here: tuning runs on this machine.")
    if parameters.dataset_uri and parameters.dataset_uri == parameters.evaluation_data_uri:
        warnings.append("The evaluation set is the training set: its metrics say nothing.")
    return warnings + _evaluation_warnings(parameters)


def _evaluation_warnings(parameters: PipelineParameters) -> list[str]:
    if parameters.evaluation_data_uri:
        if parameters.evaluation_interval > parameters.train_steps:
            return [
                f"evaluation_interval {parameters.evaluation_interval} is more than train_steps "
                f"{parameters.train_steps}: the only evaluation is at the end."
            ]
        return []
    unused = []
    if parameters.enable_checkpoint_selection.lower() == "true":
        unused.append("enable_checkpoint_selection")
    if parameters.evaluation_interval != DEFAULT_EVALUATION_INTERVAL:
        unused.append("evaluation_interval")
    if parameters.evaluation_output_root_dir:
        unused.append("evaluation_output_root_dir")
    return [f"{name} has no effect without evaluation_data_uri." for name in unused]


def _unknown(where: str, value: str, allowed: tuple[str, ...]) -> Problem:
    nearest = get_close_matches(value, [name for name in allowed if name], n=1)
    return Problem(
        f"{_short(value)} is unknown.",
        where,
        ", ".join(name for name in allowed if name),
        f"Did you mean {nearest[0]}?" if nearest else "",
    )


def _wrong_form(value: str, where: str, form: ResourceForm) -> Problem:
    return Problem(f"{_short(value)} has another form.", where, form.template)


def _short(value: str) -> str:
    """Quotes a value for a message, its end left out where it is long."""
    return repr(value if len(value) <= 80 else value[:77] + "...")
