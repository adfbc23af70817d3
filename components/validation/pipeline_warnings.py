"""Warnings about pipeline parameters that are legal but surely not meant."""

from __future__ import annotations

from kfp_llm_tuning.components.validation.accelerator_choice import accelerator_of
from kfp_llm_tuning.components.validation.pipeline_inputs import (
    DEFAULT_EVALUATION_INTERVAL,
    PipelineParameters,
)


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
    if parameters.platform == "local":
        warnings += [
            f"{name} has no effect here: tuning runs on this machine."
            for name in ("tuning_machine", "tuning_strategy", "network_attachment")
            if getattr(parameters, name)
        ]
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
