"""Which accelerator tunes: the compiled pipeline's, as given, the machine's, or the region's."""

from __future__ import annotations

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.tuning.machine_specs import select_machine
from kfp_llm_tuning.components.validation import regions
from kfp_llm_tuning.components.validation.pipeline_inputs import (
    COMPILED_ACCELERATORS,
    PipelineParameters,
)


def accelerator_of(parameters: PipelineParameters) -> str:
    """Decides which accelerator tunes.

    Args:
        parameters: Not necessarily valid.

    Returns:
        "TPU", "GPU", "CPU", or empty where nothing decides: that of the machine that the pipeline
        was compiled for, else as given, else the machine's, else the region's.
    """
    if parameters.platform_accelerator in COMPILED_ACCELERATORS:
        return parameters.platform_accelerator
    given, region = parameters.accelerator_type.strip(), parameters.pipeline_region
    if not given and parameters.tuning_machine:
        try:
            return select_machine("", parameters.tuning_machine).accelerator
        except UserError:
            return ""
    return regions.accelerator(given, region if parameters.on_vertex else "")
