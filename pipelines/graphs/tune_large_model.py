"""The template ``tune-large-model``: supervised tuning on pairs of input and output text."""

from kfp import dsl

from kfp_llm_tuning.components.parameters.pipeline import TEXT
from kfp_llm_tuning.pipelines.graphs.parts import OURS, Parts
from kfp_llm_tuning.pipelines.graphs.platform import Platform
from kfp_llm_tuning.pipelines.graphs.tuning_pipeline import tuning_pipeline


def tune_large_model(platform: Platform, parts: Parts = OURS) -> dsl.base_component.BaseComponent:
    """Builds the pipeline for a platform.

    Args:
        platform: What it is built for.
        parts: The components of its tasks.

    Returns:
        The pipeline, to be compiled or called.
    """
    return tuning_pipeline(
        platform,
        name="tune-large-model",
        description="Tunes a language model on pairs of input and output text.",
        parameters=TEXT,
        parts=parts,
    )
