"""Warnings about pipeline parameters that are legal but surely not meant."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_llm_tuning.components.common.storage import bucket_uri
from kfp_llm_tuning.components.models.model_references import ModelReference
from kfp_llm_tuning.components.parameters.tuner import (
    ADAPTER,
    EARLY_STOPPING,
    FURTHER_ARGUMENTS,
)
from kfp_llm_tuning.components.validation.pipeline_inputs import PARAMETERS, PipelineParameters

# What tells Vertex AI how to obtain and to reach the tuner's machine.
_TUNING_JOB = (
    "tuning_machine",
    "tuning_strategy",
    "tuning_max_wait",
    "tuning_timeout",
    "restart_on_preemption",
    "network_attachment",
)
# What MLflow knows nothing of: a name has one line of versions, and one of them is deployed.
_MODEL_REGISTRY = (
    "parent_model",
    "version_aliases",
    "endpoint_resource_name",
    "traffic_percentage",
)


def warnings_about(parameters: PipelineParameters, reference: ModelReference) -> list[str]:
    """Finds what is legal but surely not meant.

    Args:
        parameters: Valid parameters.
        reference: The model that they name.

    Returns:
        One sentence each.
    """
    warnings = []
    if parameters.encryption_spec_key_name and not parameters.traits.has_regions:
        warnings.append(
            f"encryption_spec_key_name has no effect on the platform {parameters.platform}: "
            "files are encrypted as their storage is."
        )
    if parameters.tpu_training_skip_cmek:
        warnings.append("tpu_training_skip_cmek has no effect: nothing tunes on TPU.")
    warnings += _without_effect(parameters)
    training, evaluation = parameters.dataset_uri, parameters.evaluation_data_uri
    if training and bucket_uri(training) == bucket_uri(evaluation):
        warnings.append("The evaluation set is the training set: its metrics say nothing.")
    if parameters.learning_rate == 0 or parameters.learning_rate_multiplier == 0:
        warnings.append("The learning rate is 0: the tuned model will be the base model.")
    warnings += _unused_arguments(parameters, reference)
    return warnings + _evaluation_warnings(parameters, reference.steps(parameters.train_steps))


def _unused_arguments(parameters: PipelineParameters, reference: ModelReference) -> Iterator[str]:
    early_stopping = parameters.enable_early_stopping and bool(parameters.evaluation_data_uri)
    there_is = {ADAPTER: reference.tuning == "adapter", EARLY_STOPPING: early_stopping}
    for name in parameters.tuner_arguments:
        needs = FURTHER_ARGUMENTS[name].needs
        if needs and not there_is[needs]:
            yield f"{name} has no effect: it needs {needs}."


def _without_effect(parameters: PipelineParameters) -> Iterator[str]:
    if parameters.traits.fixed_tuner:
        yield from (
            f"{name} has no effect here: {parameters.traits.fixed_tuner}."
            for name in _given(parameters, *_TUNING_JOB)
        )
    if not parameters.traits.has_regions:
        for name in _given(parameters, "location"):
            yield f"{name} has no effect here: regions are Vertex AI's."
        for name in _given(parameters, "tensorboard_resource_id"):
            yield f"{name} has no effect here: no Google Cloud is reached, nothing is uploaded."
    if parameters.registry:
        for name in _given(parameters, *_MODEL_REGISTRY):
            yield f"{name} has no effect: the model is registered with MLflow."


def _given(parameters: PipelineParameters, *names: str) -> Iterator[str]:
    """Names the parameters that have another value than their default."""
    return (name for name in names if getattr(parameters, name) != PARAMETERS[name].default)


def _evaluation_warnings(parameters: PipelineParameters, steps: int) -> list[str]:
    if parameters.evaluation_data_uri:
        if parameters.evaluation_interval > steps:
            return [
                f"evaluation_interval {parameters.evaluation_interval} is more than train_steps "
                f"{steps}: the only evaluation is at the end."
            ]
        return []
    unused = [*_given(parameters, "evaluation_interval", "evaluation_output_root_dir")]
    if parameters.enable_checkpoint_selection.lower() == "true":
        unused.insert(0, "enable_checkpoint_selection")
    return [f"{name} has no effect without evaluation_data_uri." for name in unused]
