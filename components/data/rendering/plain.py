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

    def prompt(self, turn: Turn) -> str:
        """Puts a text on its own line(s), and each message under its author's name."""
        if refused := _refuse(turn):
            raise refused
        return self._prompt(turn)

    def examples(self, turns: Sequence[Turn]) -> list[Example | RowRefusedError]:
        """Gives the answers as they stand."""
        return [_refuse(turn) or self._plain_example(turn) for turn in turns]

    def head_length(self, context: str, tools: Sequence[Mapping[str, Any]] = ()) -> int:
        """Counts the context and the blank line after it."""
        return len(self._opening(context))

    def _plain_example(self, turn: Turn) -> Example:
        return Example(self._prompt(turn.history), self._mark(turn.messages[-1].content))

    def _prompt(self, turn: Turn) -> str:
        if not turn.is_chat:
            return f"{self._mark(turn.messages[0].content)}\n"
        said = "".join(f"{message.author}:\n{message.content}\n" for message in turn.messages)
        return f"{self._opening(turn.context)}{self._mark(said)}assistant:\n"

    def _opening(self, context: str) -> str:
        return f"{self._mark(context)}\n\n" if context else ""


def _refuse(turn: Turn) -> RowRefusedError | None:
    # Reasoning between tags is a text like any other.
    parts = (one for one in list_parts(turn) if one[1] != Part.INLINE_REASONING)
    return refuse_omissions(_WRITER, parts)
