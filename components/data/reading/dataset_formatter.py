"""Which of a chat template's formats a dataset needs: that for reasoning, or the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kfp_llm_tuning.components.data.formats.format import Format
from kfp_llm_tuning.components.data.reading.findings import Findings
from kfp_llm_tuning.components.data.reading.places import Place
from kfp_llm_tuning.components.data.reading.scan import scan
from kfp_llm_tuning.components.data.rendering.formatters import prompt_formatter
from kfp_llm_tuning.components.data.rendering.prompts import PromptFormatter
from kfp_llm_tuning.components.data.rendering.reasoning import has_reasoning, thinks
from kfp_llm_tuning.components.data.rows import Row, TextRow, answers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def formatter_for_dataset(
    tokenizer: PreTrainedTokenizerBase, uri: str, expected: Format
) -> PromptFormatter:
    """Chooses how a dataset's prompts are written.

    Args:
        tokenizer: The model's tokenizer.
        uri: The dataset. It is read only where the tokenizer's template knows reasoning.
        expected: The format of its rows.

    Returns:
        The formatter.

    Raises:
        UserError: If the tokenizer's template cannot be used, or the file not be opened.
    """
    formatter = prompt_formatter(tokenizer)
    if formatter.takes_reasoning and _any_answer_has_reasoning(uri, expected):
        return prompt_formatter(tokenizer, "chat_template_reasoning")
    return formatter


class _Found(Exception):
    """An answer with reasoning: no more has to be read."""


def _any_answer_has_reasoning(uri: str, expected: Format) -> bool:
    def look(place: Place, row: Row) -> None:
        if isinstance(row, TextRow):
            found = has_reasoning(row.output_text)
        else:
            found = any(thinks(message) for _, message in answers(row))
        if found:
            raise _Found

    try:
        scan(uri, expected, Findings(0), look)
    except _Found:
        return True
    return False
