"""Which accelerator tunes: the compiled pipeline's, as given, the machine's, or the region's.

The published templates tuned on TPU too. Their requests are read as they were meant; that nothing
of ours does what they ask for is told before anything is spent.
"""

from __future__ import annotations

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.models.implemented import no_engine
from kfp_llm_tuning.components.models.machine_specs import select_machine
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
    return regions.accelerator(given, region if parameters.traits.has_regions else "")


def refusal_of(parameters: PipelineParameters) -> str:
    """Says that nothing of ours tunes on the accelerator; empty where something does.

    Args:
        parameters: Not necessarily valid.

    Returns:
        A sentence that begins with a small letter.
    """
    accelerator = accelerator_of(parameters)
    return _refusal(parameters, accelerator) if accelerator else ""


def _refusal(parameters: PipelineParameters, accelerator: str, method: str = "") -> str:
    return no_engine("tune", accelerator, platform=parameters.traits.name, method=method)


def check_method(parameters: PipelineParameters, method: str) -> list[Problem]:
    """Checks that something of ours tunes weights in that way where they are to be tuned.

    Args:
        parameters: Not necessarily valid.
        method: How weights are tuned: "adapter" or "full".

    Returns:
        What is wrong, but for what ``check_engine`` finds.
    """
    if refusal_of(parameters):
        return []
    refusal = _refusal(parameters, accelerator_of(parameters), method)
    fix = "Choose another method, or another model."
    return [Problem(refusal, "tuning_method", fix=fix)] if refusal else []


def check_engine(parameters: PipelineParameters) -> list[Problem]:
    """Checks that something of ours tunes on the accelerator."""
    refusal, region = refusal_of(parameters), parameters.pipeline_region
    if not refusal:
        return []
    offered = ", ".join(regions.offered_accelerators())
    if parameters.platform_accelerator:
        what = f"the pipeline was compiled for {parameters.platform_accelerator}, and {refusal}"
        fix = "Compile it again with this version and another option tasks.tuner.machine."
        return [Problem(what, "accelerator_type", offered, fix)]
    fix = f"Give accelerator_type={offered}."
    if parameters.traits.has_regions:
        fix = (
            f"Give accelerator_type={offered}: then tuning runs in {select_machine('GPU').region}."
        )
    what = refusal
    if not parameters.accelerator_type.strip():
        what = f"is empty, which means {accelerator_of(parameters)} in {region}, and {refusal}"
    return [Problem(what, "accelerator_type", offered, fix)]
