"""Prompts and answers of models without a chat template: see `prompts.py` for how they read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.data.rendering.control_tokens import ControlTokens
from kfp_llm_tuning.components.data.rendering.omissions import (
    Part,
    list_parts,
    refuse_omissions,
)
from kfp_llm_tuning.components.data.rendering.prompts import (
    Example,
    PromptFormatter,
    RowRefusedError,
    Turn,
)
from kfp_llm_tuning.components.data.rows import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_WRITER = "the plain format, for models without a chat template,"


class PlainFormatter(PromptFormatter):
    """Writes prompts for models without a chat template.

    It has no words for tools, nor for reasoning that the data holds apart.
    """

    prompt_format = "plain"
    template_sha256 = ""
    takes_reasoning = False
    anchor = "\n"
    end = call_end = ""
    inner_tokens = ()

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Looks at the tokenizer's control tokens."""
        self.control_tokens = ControlTokens(tokenizer)
        self._mark = self.control_tokens.mark

    def text_prompt(self, input_text: str) -> str:
        """Puts the input on its own line(s)."""
        return f"{self._mark(input_text)}\n"

    def chat_prompt(
        self,
        messages: Sequence[Message],
        context: str = "",
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> str:
        """Writes the context, each message under its author's name, and the assistant's name."""
        if refused := _refuse(Turn(messages, context, tools=tools)):
            raise refused
        return self._chat_prompt(messages, context)

    def examples(self, turns: Sequence[Turn]) -> list[Example | RowRefusedError]:
        """Gives the answers as they stand."""
        return [_refuse(turn) or self._plain_example(turn) for turn in turns]

    def head_length(self, context: str, tools: Sequence[Mapping[str, Any]] = ()) -> int:
        """Counts the context and the blank line after it."""
        return len(self._opening(context))

    def _plain_example(self, turn: Turn) -> Example:
        *history, answer = turn.messages
        if turn.is_chat:
            prompt = self._chat_prompt(history, turn.context)
        else:
            prompt = self.text_prompt(history[0].content)
        return Example(prompt, self._mark(answer.content))

    def _chat_prompt(self, messages: Sequence[Message], context: str) -> str:
        turns = "".join(f"{message.author}:\n{message.content}\n" for message in messages)
        return f"{self._opening(context)}{self._mark(turns)}assistant:\n"

    def _opening(self, context: str) -> str:
        return f"{self._mark(context)}\n\n" if context else ""


def _refuse(turn: Turn) -> RowRefusedError | None:
    # Reasoning between tags is a text like any other.
    parts = (one for one in list_parts(turn) if one[1] != Part.INLINE_REASONING)
    return refuse_omissions(_WRITER, parts)
