"""Checks every parameter of the pipelines before anything is spent, and settles what follows.

The rules are the published templates'. All problems are found and told together; what is legal but
surely not meant is a warning.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from kfp_llm_tuning.components.common.errors import Problem, UserError, collect, raise_all
from kfp_llm_tuning.components.common.wording import counted
from kfp_llm_tuning.components.models.machine_specs import MachineSpec, select_machine
from kfp_llm_tuning.components.models.model_reference import ModelReference
from kfp_llm_tuning.components.models.model_references import resolve
from kfp_llm_tuning.components.parameters.pipeline import CHAT_TEMPLATE
from kfp_llm_tuning.components.parameters.tuner import read_further
from kfp_llm_tuning.components.validation import regions
from kfp_llm_tuning.components.validation.accelerator_choice import (
    accelerator_of,
    check_model,
    refusal_of,
)
from kfp_llm_tuning.components.validation.base_model import base_model_problems
from kfp_llm_tuning.components.validation.data_version import data_version
from kfp_llm_tuning.components.validation.display_names import with_run_time
from kfp_llm_tuning.components.validation.machine_disk import disk_findings
from kfp_llm_tuning.components.validation.machine_memory import memory_findings, setup_of
from kfp_llm_tuning.components.validation.pipeline_checks import CHECKS, format_problems
from kfp_llm_tuning.components.validation.pipeline_inputs import (
    PipelineParameters,
    with_right_types,
)
from kfp_llm_tuning.components.validation.pipeline_warnings import warnings_about

__all__ = [
    "PipelineParameters",
    "PipelineSettings",
    "validate_pipeline",
    "validate_pipeline_parameters",
]

logger = logging.getLogger(__name__)

_T = TypeVar("_T")


@dataclass(frozen=True)
class PipelineSettings:
    """What later tasks need; names are those of the published task's outputs, where it has them.

    Attributes:
        adapter_training_location: Region that tuning runs in; empty where there are none.
        model_display_name: With the run's date, where it asks for it.
        model_at_version: NAME@VERSION, as clients rebuild it from the label.
        model_dash_version: The label's value.
        model_location: Region that the model is uploaded to; empty where there are none.
        regional_endpoint: URL of Vertex AI in that region; empty on other platforms.
        service_account: Account that the tuner runs as; empty for the platform's default.
        use_tpu: Whether tuning runs on TPU.
        with_batch_prediction_and_evaluation: Whether there is an evaluation set.
        with_tensorboard: Whether metrics are uploaded to a TensorBoard.
        machine: The machine for tuning; None where this machine or the cluster decides.
        data_version: Changes when the data does; empty where the data was not looked for.
        registry_uri: MLflow tracking URI; empty for the Vertex AI Model Registry.
        warnings: What is legal but worth a look.
    """

    adapter_training_location: str
    model_display_name: str
    model_at_version: str
    model_dash_version: str
    model_location: str
    regional_endpoint: str
    service_account: str
    use_tpu: bool
    with_batch_prediction_and_evaluation: bool
    with_tensorboard: bool
    machine: MachineSpec | None
    data_version: str = ""
    registry_uri: str = ""
    warnings: tuple[str, ...] = ()


def validate_pipeline_parameters(parameters: PipelineParameters) -> PipelineSettings:
    """Checks everything that can be known before data is read; logs what is worth a look.

    Args:
        parameters: As given; whole numbers may come as floats (8.0), and
            ``enable_checkpoint_selection`` as a boolean.

    Returns:
        What follows from them.

    Raises:
        UserError: With every problem found.
    """
    parameters, problems = with_right_types(parameters)
    for check in CHECKS:
        problems += check(parameters)
    reference = _collect(problems, lambda: _resolve(parameters))
    machine = _collect(problems, lambda: _select_machine(parameters))
    if reference is not None:
        problems += format_problems(parameters, reference)
        problems += check_model(parameters, reference)
        problems += _machine_count_problems(parameters, reference)
    doubts: list[str] = []
    if reference is not None and machine is not None:
        told, doubts = _room(parameters, reference, machine)
        problems += told
    raise_all(_unique(problems))
    assert reference is not None
    settings = _settings(parameters, reference, machine)
    settings = dataclasses.replace(settings, warnings=(*settings.warnings, *doubts))
    for warning in settings.warnings:
        logger.warning("%s", warning)
    return settings


def _room(
    parameters: PipelineParameters, reference: ModelReference, machine: MachineSpec
) -> tuple[list[Problem], list[str]]:
    """Holds a run against its machine's memory and disk; of unknown models nothing is said."""
    setup = setup_of(
        reference, parameters.tuner_arguments, machine, parameters.tuning_machine_count
    )
    if setup is None:
        return [], []
    selects = reference.selects_checkpoint(parameters.enable_checkpoint_selection)
    found = [
        memory_findings(setup, where=machine.name),
        disk_findings(setup, machine, selects=selects),
    ]
    problems = [problem for one in found for problem in one.problems]
    return problems, [doubt for one in found for doubt in one.warnings]


def validate_pipeline(parameters: PipelineParameters) -> PipelineSettings:
    """Checks the parameters, and after that the data and the base model that they name.

    Args:
        parameters: As given.

    Returns:
        What follows from them, the version of the data included.

    Raises:
        UserError: With every problem found.
    """
    settings = validate_pipeline_parameters(parameters)
    problems: list[Problem] = []
    version = ""
    with collect(problems):
        version = data_version(
            dataset_uri=parameters.dataset_uri, evaluation_data_uri=parameters.evaluation_data_uri
        )
    problems += base_model_problems(
        _resolve(parameters),
        here=parameters.traits.runs_here,
        conversations=parameters.template == CHAT_TEMPLATE,
    )
    raise_all(problems)
    return dataclasses.replace(settings, data_version=version)


def _settings(
    parameters: PipelineParameters, reference: ModelReference, machine: MachineSpec | None
) -> PipelineSettings:
    name, _, version = reference.label.rpartition("-")
    return PipelineSettings(
        adapter_training_location=machine.region if machine else "",
        model_display_name=with_run_time(parameters.model_display_name, parameters.run_time),
        model_at_version=f"{name}@{version}",
        model_dash_version=reference.label,
        model_location=parameters.model_location,
        regional_endpoint=_regional_endpoint(parameters),
        service_account=parameters.service_account,
        use_tpu=accelerator_of(parameters) == "TPU",
        with_batch_prediction_and_evaluation=parameters.has_evaluation,
        with_tensorboard=bool(parameters.tensorboard_resource_id),
        machine=machine,
        registry_uri=parameters.registry,
        warnings=tuple(warnings_about(parameters, reference)),
    )


def _regional_endpoint(parameters: PipelineParameters) -> str:
    if not parameters.traits.has_regions:
        return ""
    if "://" in parameters.api_endpoint:
        return parameters.api_endpoint
    return f"https://{parameters.model_location}-{parameters.api_endpoint}"


def _collect(problems: list[Problem], compute: Callable[[], _T]) -> _T | None:
    try:
        return compute()
    except UserError as error:
        problems.extend(error.problems)
        return None


def _unique(problems: list[Problem]) -> list[Problem]:
    return list(dict.fromkeys(problems))


def _resolve(parameters: PipelineParameters) -> ModelReference:
    return resolve(
        parameters.large_model_reference,
        tuning_method=parameters.tuning_method,
        accelerator="TPU" if accelerator_of(parameters) == "TPU" else "GPU",
        max_context_length=parameters.max_context_length,
    )


def _machine_count_problems(
    parameters: PipelineParameters, reference: ModelReference
) -> list[Problem]:
    """Checks that every machine has an example of each batch."""
    if parameters.traits.tunes_in_place and not parameters.platform_train_job:
        return []
    further, _ = read_further(parameters.tuner_arguments)
    accelerator = "TPU" if accelerator_of(parameters) == "TPU" else "GPU"
    batch_size = reference.batch_size(accelerator, further.get("batch_size", 0))
    count = parameters.tuning_machine_count
    if count <= max(batch_size, 1):
        return []
    what = f"{count} machines cannot share the {counted(batch_size, 'example')} of a batch."
    fix = "Take fewer machines, or give a greater batch_size in tuner_arguments."
    return [Problem(what, "tuning_machine_count", f"from 1 to {batch_size}", fix)]


def _select_machine(parameters: PipelineParameters) -> MachineSpec | None:
    accelerator = "" if refusal_of(parameters) else accelerator_of(parameters)
    if parameters.tuning_machine:
        # A pipeline that was compiled for a machine asks for no other; the name is checked anyhow.
        wanted = "" if parameters.platform_accelerator else accelerator
        machine = select_machine(wanted, parameters.tuning_machine)
        return machine if not parameters.traits.tunes_in_place else None
    chosen_here = not parameters.traits.tunes_in_place and accelerator in regions.ACCELERATORS
    return select_machine(accelerator) if chosen_here else None
