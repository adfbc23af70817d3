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

What users write is text. Where it spells a control token, the rendered text has a mark (see
`control_tokens.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, TypeAlias

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.data.rendering.control_tokens import ControlTokens
from kfp_llm_tuning.components.data.rows import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PromptFormat: TypeAlias = Literal["plain", "chat_template", "chat_template_reasoning"]


class Example(NamedTuple):
    """What a model learns from one answer.

    Attributes:
        prompt: What it is asked, rendered.
        answer: What it is to write, without what the format writes behind an answer.
    """

    prompt: str
    answer: str


class Turn(NamedTuple):
    """An answer, and all that was said before it.

    Attributes:
        messages: The history and, last, the assistant's answer.
        context: What the assistant is told beforehand.
        is_chat: Whether it is a conversation; else a text example, of two messages.
    """

    messages: Sequence[Message]
    context: str = ""
    is_chat: bool = True


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
        anchor: What every prompt ends with, whatever it asks.
        end: What the format itself writes behind an answer; no part of the answer.
    """

    prompt_format: ClassVar[PromptFormat]
    template_sha256: str
    control_tokens: ControlTokens
    takes_reasoning: bool
    anchor: str
    end: str

    @abstractmethod
    def text_prompt(self, input_text: str) -> str:
        """Writes the prompt of a text example."""

    @abstractmethod
    def chat_prompt(self, messages: Sequence[Message], context: str = "") -> str:
        """Writes the prompt that asks for the assistant's next message.

        Args:
            messages: The history; the user's message is the last.
            context: What the assistant is told beforehand.

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

    def text_example(self, input_text: str, output_text: str) -> Example:
        """Writes a text example.

        Raises:
            RowRefusedError: If it cannot be written.
        """
        messages = [Message("user", input_text), Message("assistant", output_text)]
        return self._example(Turn(messages, is_chat=False))

    def chat_example(self, messages: Sequence[Message], context: str = "") -> Example:
        """Writes the prompt that asks for the last message, and that message.

        Args:
            messages: The history and, last, the assistant's answer.
            context: What the assistant is told beforehand.

        Raises:
            RowRefusedError: If it cannot be written.
        """
        return self._example(Turn(messages, context))

    def _example(self, turn: Turn) -> Example:
        [example] = self.examples([turn])
        if isinstance(example, RowRefusedError):
            raise example
        return example

    def spelled_tokens(self, message: Message) -> list[str]:
        """Lists the control tokens that a message spells, and that are read as text."""
        return self.control_tokens.spelled_in(message.content)

    @abstractmethod
    def head_length(self, context: str) -> int:
        """Counts the characters that every conversation's prompt with this context starts with."""


class PlainFormatter(PromptFormatter):
    """Writes prompts for models without a chat template (see the module's description)."""

    prompt_format = "plain"
    template_sha256 = ""
    takes_reasoning = False
    anchor = "\n"
    end = ""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Looks at the tokenizer's control tokens."""
        self.control_tokens = ControlTokens(tokenizer)
        self._mark = self.control_tokens.mark

    def text_prompt(self, input_text: str) -> str:
        """Puts the input on its own line(s)."""
        return f"{self._mark(input_text)}\n"

    def chat_prompt(self, messages: Sequence[Message], context: str = "") -> str:
        """Writes the context, each message under its author's name, and the assistant's name."""
        turns = "".join(f"{message.author}:\n{message.content}\n" for message in messages)
        return f"{self._opening(context)}{self._mark(turns)}assistant:\n"

    def examples(self, turns: Sequence[Turn]) -> list[Example | RowRefusedError]:
        """Gives the answers as they stand."""
        return [self._plain_example(turn) for turn in turns]

    def head_length(self, context: str) -> int:
        """Counts the context and the blank line after it."""
        return len(self._opening(context))

    def _plain_example(self, turn: Turn) -> Example:
        *history, answer = turn.messages
        if turn.is_chat:
            prompt = self.chat_prompt(history, turn.context)
        else:
            prompt = self.text_prompt(history[0].content)
        return Example(prompt, self._mark(answer.content))

    def _opening(self, context: str) -> str:
        return f"{self._mark(context)}\n\n" if context else ""
