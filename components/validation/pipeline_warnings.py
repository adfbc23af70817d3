"""Warnings about pipeline parameters that are legal but surely not meant."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_llm_tuning.components.common.platforms import platform_named
from kfp_llm_tuning.components.common.storage import bucket_uri
from kfp_llm_tuning.components.models.model_reference import ModelReference
from kfp_llm_tuning.components.parameters.row import Parameter
from kfp_llm_tuning.components.parameters.tuner import (
    ADAPTER,
    EARLY_STOPPING,
    FURTHER_ARGUMENTS,
    TASK_ENVIRONMENT,
)
from kfp_llm_tuning.components.validation.evaluation_source import SOURCES
from kfp_llm_tuning.components.validation.pipeline_inputs import PARAMETERS, PipelineParameters

# Why what the table gives to other platforms has no effect, where more can be said than that.
_ELSEWHERE = {
    "location": "regions are Vertex AI's",
    "tensorboard_resource_id": "no Google Cloud is reached, nothing is uploaded",
    "encryption_spec_key_name": "files are encrypted as their storage is",
}
# Of what the tuner runs on: its platform says why a run does not choose it.
_TUNING_JOB = {
    "tuning_machine",
    "tuning_machine_count",
    "tuning_strategy",
    "tuning_max_wait",
    "tuning_timeout",
    "restart_on_preemption",
    "network_attachment",
}
_REGISTRY = "registry and deployment"


def warnings_about(parameters: PipelineParameters, reference: ModelReference) -> list[str]:
    """Finds what is legal but surely not meant.

    Args:
        parameters: Valid parameters.
        reference: The model that they name.

    Returns:
        One sentence each.
    """
    warnings = list(_without_effect(parameters))
    training, evaluation = parameters.dataset_uri, parameters.evaluation_data_uri
    if training and bucket_uri(training) == bucket_uri(evaluation):
        warnings.append("The evaluation set is the training set: its metrics say nothing.")
    if parameters.learning_rate == 0 or parameters.learning_rate_multiplier == 0:
        warnings.append("The learning rate is 0: the tuned model will be the base model.")
    warnings += _unused_arguments(parameters, reference)
    # So many epochs are steps only when the data has been counted.
    steps = None if parameters.epochs else reference.steps(parameters.train_steps)
    return warnings + _evaluation_warnings(parameters, steps)


def _unused_arguments(parameters: PipelineParameters, reference: ModelReference) -> Iterator[str]:
    early_stopping = parameters.enable_early_stopping and parameters.has_evaluation
    there_is = {
        ADAPTER: reference.tuning == "adapter",
        EARLY_STOPPING: early_stopping,
        TASK_ENVIRONMENT: parameters.traits.tunes_in_place,
    }
    for name in parameters.tuner_arguments:
        needs = FURTHER_ARGUMENTS[name].needs
        if needs and not there_is[needs]:
            yield f"{name} has no effect: it needs {needs}."


def _without_effect(parameters: PipelineParameters) -> Iterator[str]:
    for name in _given(parameters, *PARAMETERS):
        row = PARAMETERS[name]
        if name == "tpu_training_skip_cmek":
            yield f"{name} has no effect: nothing tunes on TPU."
        elif row.platforms and row.group == _REGISTRY and parameters.registry:
            # MLflow has one line of versions for a name, and one of them is deployed.
            yield f"{name} has no effect: the model is registered with MLflow."
        elif row.platforms and parameters.platform not in row.platforms:
            yield f"{name} has no effect here: {_reason(row, parameters)}."
        elif name == "tuning_machine_count" and _tunes_in_one_pod(parameters):
            yield (
                f"{name} has no effect: the tuner works in its task's own pod; compiled with the "
                "option train_job.enabled it makes a TrainJob of so many nodes."
            )


def _tunes_in_one_pod(parameters: PipelineParameters) -> bool:
    return parameters.traits.tunes_in_place and not parameters.platform_train_job


def _reason(row: Parameter, parameters: PipelineParameters) -> str:
    if row.name in _TUNING_JOB:
        return parameters.traits.fixed_tuner
    there = ", ".join(platform_named(platform).title for platform in row.platforms)
    return _ELSEWHERE.get(row.name, f"it is for {there}")


def _given(parameters: PipelineParameters, *names: str) -> Iterator[str]:
    """Names the parameters that have another value than their default."""
    return (name for name in names if getattr(parameters, name) != PARAMETERS[name].default)


def _evaluation_warnings(parameters: PipelineParameters, steps: int | None) -> list[str]:
    if parameters.has_evaluation:
        if steps is not None and parameters.evaluation_interval > steps:
            return [
                f"evaluation_interval {parameters.evaluation_interval} is more than train_steps "
                f"{steps}: the only evaluation is at the end."
            ]
        return []
    needing = ("evaluation_interval", "evaluation_output_root_dir", "primary_metric")
    unused = [*_given(parameters, *needing)]
    if parameters.enable_checkpoint_selection.lower() == "true":
        unused.insert(0, "enable_checkpoint_selection")
    return [f"{name} has no effect without {SOURCES}." for name in unused]
