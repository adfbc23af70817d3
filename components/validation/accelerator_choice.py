"""Which accelerator tunes: the compiled pipeline's, as given, the machine's, or the region's.

The published templates tuned on TPU too. Their requests are read as they were meant; that nothing
of ours does what they ask for is told before anything is spent.
"""

from __future__ import annotations

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.models.implemented import FOUR_BIT, families, no_engine
from kfp_llm_tuning.components.models.machine_specs import select_machine
from kfp_llm_tuning.components.models.model_reference import ModelReference
from kfp_llm_tuning.components.models.model_shapes import family_of
from kfp_llm_tuning.components.parameters.tuner import read_further
from kfp_llm_tuning.components.validation import regions
from kfp_llm_tuning.components.validation.pipeline_inputs import (
    COMPILED_ACCELERATORS,
    PipelineParameters,
)

_FOUR_BITS = "load_in_4bit"


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


def check_model(parameters: PipelineParameters, reference: ModelReference) -> list[Problem]:
    """Checks that something of ours tunes the model, and in the way that is asked for.

    Args:
        parameters: Not necessarily valid.
        reference: The model.

    Returns:
        What is wrong, but for what ``check_engine`` finds.
    """
    if refusal_of(parameters):
        return []
    accelerator = accelerator_of(parameters)
    problems = []
    if refusal := _refusal(parameters, accelerator, reference.tuning):
        fix = "Choose another method, or another model."
        problems.append(Problem(refusal, "tuning_method", fix=fix))
    given, _ = read_further(parameters.tuner_arguments)
    if given.get(_FOUR_BITS) and (refusal := _refusal(parameters, accelerator, FOUR_BIT)):
        where, fix = f"tuner_arguments.{_FOUR_BITS}", f"Leave it out{_or_elsewhere(FOUR_BIT)}."
        problems.append(Problem(refusal, where, "false", fix))
    family = family_of(reference.checkpoint)
    if family and (refusal := no_engine("tune", accelerator, family=family)):
        allowed = f"on {accelerator} {', '.join(families('tune', accelerator))}"
        fix = f"Choose such a model{_or_elsewhere(family=family)}."
        problems.append(Problem(refusal, "large_model_reference", allowed, fix))
    return problems


def _or_elsewhere(method: str = "", family: str = "") -> str:
    """Names the accelerators that a request may ask for instead; empty for none."""
    others = [
        name
        for name in regions.offered_accelerators()
        if not no_engine("tune", name, method=method, family=family)
    ]
    return f", or give accelerator_type={', '.join(others)}" if others else ""


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
