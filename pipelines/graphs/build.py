"""Builds a template's pipeline for a platform."""

from typing import Any

from kfp import dsl

from kfp_llm_tuning.pipelines.graphs.parts import OURS, Parts
from kfp_llm_tuning.pipelines.graphs.platform import Platform
from kfp_llm_tuning.pipelines.graphs.tune_large_chat_model import tune_large_chat_model
from kfp_llm_tuning.pipelines.graphs.tune_large_model import tune_large_model

_BUILDERS = {
    "tune-large-model": tune_large_model,
    "tune-large-chat-model": tune_large_chat_model,
}


def build(
    template: str, platform: Platform, parts: Parts = OURS
) -> dsl.base_component.BaseComponent:
    """Builds a pipeline.

    Args:
        template: The pipeline's name.
        platform: What it is built for.
        parts: The components of its tasks.

    Returns:
        The pipeline, to be compiled or called.
    """
    builder: Any = _BUILDERS[template]
    return builder(platform, parts)
