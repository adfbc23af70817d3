"""Asks a formatter for one prompt, or one example, as tests do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kfp_llm_tuning.components.data.rendering.prompts import (
    Example,
    PromptFormatter,
    RowRefusedError,
    Turn,
)
from kfp_llm_tuning.components.data.rows import Message


def text_prompt(formatter: PromptFormatter, text: str) -> str:
    """Asks for the prompt of a text."""
    return formatter.prompt(Turn([Message("user", text)], is_chat=False))


def text_example(formatter: PromptFormatter, text: str, output: str) -> Example:
    """Asks for the example of a text and its output."""
    said = [Message("user", text), Message("assistant", output)]
    return _example(formatter, Turn(said, is_chat=False))


def chat_prompt(
    formatter: PromptFormatter,
    messages: Sequence[Message],
    context: str = "",
    tools: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Asks for the prompt of a conversation."""
    return formatter.prompt(Turn(messages, context, tools=tools))


def chat_example(
    formatter: PromptFormatter, messages: Sequence[Message], context: str = ""
) -> Example:
    """Asks for the example of a conversation's last message."""
    return _example(formatter, Turn(messages, context))


def _example(formatter: PromptFormatter, turn: Turn) -> Example:
    [example] = formatter.examples([turn])
    if isinstance(example, RowRefusedError):
        raise example
    return example
