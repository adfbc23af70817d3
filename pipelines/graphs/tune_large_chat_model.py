"""The template ``tune-large-chat-model``: supervised tuning on conversations."""

from kfp import dsl

from kfp_llm_tuning.components.parameters.pipeline import CHAT
from kfp_llm_tuning.pipelines.graphs.parts import OURS, Parts
from kfp_llm_tuning.pipelines.graphs.platform import Platform
from kfp_llm_tuning.pipelines.graphs.tuning_pipeline import tuning_pipeline


def tune_large_chat_model(
    platform: Platform, parts: Parts = OURS
) -> dsl.base_component.BaseComponent:
    """Builds the pipeline for a platform.

    Args:
        platform: What it is built for.
        parts: The components of its tasks.

    Returns:
        The pipeline, to be compiled or called.
    """
    return tuning_pipeline(
        platform,
        name="tune-large-chat-model",
        description="Tunes a language model on conversations.",
        parameters=CHAT,
        parts=parts,
    )
