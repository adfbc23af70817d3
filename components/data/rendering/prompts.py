"""Prompts: one definition of how text and conversations are written for a model.

Validation, training, evaluation and serving all render through `prompt_formatter`, so that a model
is asked in the words it was trained on. The formats:

- ``chat_template``: the tokenizer brings a chat template, and every prompt and answer is a part of
  what it renders. Text examples become one user turn.
- ``chat_template_reasoning``: as above, for data whose answers begin with reasoning, and a template
  that knows it: the model is asked to write its reasoning too.
- ``plain``: there is no template. A text prompt is the input and a newline. A conversation is
  written as below, and a prompt ends where the assistant speaks next::

      context

      user:
      content
      assistant:
      content

Tools, their calls and their answers are written by chat templates alone. Reasoning that the data
holds apart from an answer is written where the template knows reasoning.

What users write is text. Where it spells a control token, the rendered text has a mark (see
`control_tokens.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import msgspec

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.data.rendering.control_tokens import ControlTokens
from kfp_llm_tuning.components.data.rows import Message

PromptFormat: TypeAlias = Literal["plain", "chat_template", "chat_template_reasoning"]


class Example(NamedTuple):
    """What a model learns from one answer.

    Attributes:
        prompt: What it is asked, rendered.
        answer: What it is to write, without what the format writes behind an answer.
        end: What the format writes behind it where that differs from other answers' end, as some
            formats end calls of tools; else empty.
    """

    prompt: str
    answer: str
    end: str = ""


class Turn(NamedTuple):
    """An answer with all that was said before it, or what was said before an answer.

    Attributes:
        messages: The history and, last, the assistant's answer or the message that asks for it.
        context: What the assistant is told beforehand.
        is_chat: Whether it is a conversation; else a text, and perhaps its output.
        tools: Definitions of the tools that may be called.
    """

    messages: Sequence[Message]
    context: str = ""
    is_chat: bool = True
    tools: Sequence[Mapping[str, Any]] = ()

    @property
    def history(self) -> Turn:
        """All that was said before the answer."""
        return self._replace(messages=self.messages[:-1])


class RowRefusedError(UserError):
    """One row cannot be written for the model; others can."""


class UnusableTemplateError(UserError):
    """The model's chat template cannot be used, whatever the rows are."""


class PromptFormatter(ABC):
    """Writes prompts and answers for one tokenizer.

    Attributes:
        prompt_format: Name of the format, as in info.json.
        template_sha256: Digest of the chat template; empty without one.
        control_tokens: What users' texts may spell, and does not count as such.
        takes_reasoning: Whether the format takes an answer's reasoning apart from the answer.
        anchor: What prompts end with, whatever a user asks.
        end: What the format itself writes behind an answer; no part of the answer.
        call_end: What it writes behind an answer that calls tools.
        inner_tokens: Control tokens that it writes within answers: around calls, or reasoning.
    """

    prompt_format: ClassVar[PromptFormat]
    template_sha256: str
    control_tokens: ControlTokens
    takes_reasoning: bool
    anchor: str
    end: str
    call_end: str
    inner_tokens: Sequence[str]

    @abstractmethod
    def prompt(self, turn: Turn) -> str:
        """Writes the prompt that asks for the next answer.

        Args:
            turn: What was said; the message that asks is the last.

        Raises:
            RowRefusedError: If it cannot be written.
        """

    @abstractmethod
    def examples(self, turns: Sequence[Turn]) -> list[Example | RowRefusedError]:
        """Writes examples: many at once take less time.

        Args:
            turns: Answers with their histories.

        Returns:
            One example each, or why it cannot be written.

        Raises:
            UnusableTemplateError: If none can, or too much is needed for one of them.
        """

    def spelled_tokens(self, message: Message) -> list[str]:
        """Lists the control tokens that a message spells, and that are read as text."""
        texts = [message.content, message.reasoning]
        texts += (msgspec.json.encode(call).decode() for call in message.tool_calls)
        return self.control_tokens.spelled_in("\n".join(texts))

    @abstractmethod
    def head_length(self, context: str, tools: Sequence[Mapping[str, Any]] = ()) -> int:
        """Counts the characters that prompts of conversations with these start with."""
