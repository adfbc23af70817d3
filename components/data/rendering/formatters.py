"""Chooses how prompts are written for a tokenizer: plainly, or by its chat template."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.data.rendering.chat_template import (
    ReasoningTemplateFormatter,
    TemplateFormatter,
)
from kfp_llm_tuning.components.data.rendering.plain import PlainFormatter
from kfp_llm_tuning.components.data.rendering.prompts import PromptFormat, PromptFormatter

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def prompt_formatter(
    tokenizer: PreTrainedTokenizerBase, prompt_format: PromptFormat | None = None
) -> PromptFormatter:
    """Chooses how prompts are written for a tokenizer.

    Args:
        tokenizer: The model's tokenizer.
        prompt_format: What the model was trained with (tuning.json); None chooses by whether the
            tokenizer has a chat template.

    Returns:
        The formatter.

    Raises:
        UserError: If the tokenizer's template cannot be used, or is asked for and missing.
    """
    if prompt_format is None:
        prompt_format = "chat_template" if tokenizer.chat_template else "plain"
    if prompt_format == "plain":
        return PlainFormatter(tokenizer)
    if not tokenizer.chat_template:
        raise UserError(
            "the prompts are to be written by a chat template, but the tokenizer has none."
        )
    if prompt_format == "chat_template_reasoning":
        return ReasoningTemplateFormatter(tokenizer)
    return TemplateFormatter(tokenizer)
