"""Prompts: one definition of how text and conversations are written for a model.

Training, evaluation and serving all render through `prompt_formatter`, so that a model is asked in
the words it was trained on. Two formats exist:

- ``chat_template``: the tokenizer brings a chat template, and every prompt and completion is a part
  of what it renders. Text examples become one user turn.
- ``plain``: there is no template. A text prompt is the input and a newline. A conversation is
  written as below, and a prompt ends where the assistant speaks next::

      context

      user:
      content
      assistant:
      content
"""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.data.rows import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


PromptFormat: TypeAlias = Literal["plain", "chat_template"]

# Templates of some models write today's date into the system message. A fixed one, the default of
# Llama's own template, makes the same data render to the same tokens on every day, in training and
# in serving. `date_string` is Llama's variable; the macro hides the function others call.
_DATE_STRING = "26 Jul 2024"
_DATE_MACRO = (
    "{%- macro strftime_now(format) %}{{- format | replace('%d', '26') | replace('%b', 'Jul')"
    " | replace('%B', 'July') | replace('%m', '07') | replace('%Y', '2024')"
    " | replace('%y', '24') | replace('%A', 'Friday') | replace('%a', 'Fri') }}{%- endmacro %}"
)

# Contents without a common start or end, to find out what a template writes around them.
_PROBES = ("First question.", "another one?")
_PROBE_ANSWER = "Probe answer"


class PromptFormatter(ABC):
    """Writes prompts and completions for one tokenizer.

    Attributes:
        prompt_format: Name of the format, as in info.json.
        template_sha256: Digest of the chat template; empty without one.
        anchor: What every prompt ends with, whatever it asks.
        end: What the format itself writes after a completion; part of the completion.
    """

    prompt_format: ClassVar[PromptFormat]
    template_sha256: str
    anchor: str
    end: str

    @abstractmethod
    def text_prompt(self, input_text: str) -> str:
        """Writes the prompt of a text example."""

    @abstractmethod
    def text_example(self, input_text: str, output_text: str) -> tuple[str, str]:
        """Writes the prompt of a text example, and what follows it."""

    @abstractmethod
    def chat_prompt(self, messages: Sequence[Message], context: str = "") -> str:
        """Writes the prompt that asks for the assistant's next message.

        Args:
            messages: The history; the user's message is the last.
            context: What the assistant is told beforehand.
        """

    @abstractmethod
    def chat_example(self, messages: Sequence[Message], context: str = "") -> tuple[str, str]:
        """Writes the prompt that asks for the last message, and what follows it.

        Args:
            messages: The history and, last, the assistant's answer.
            context: What the assistant is told beforehand.
        """

    @abstractmethod
    def head_length(self, context: str) -> int:
        """Counts the characters that every conversation's prompt with this context starts with."""


class PlainFormatter(PromptFormatter):
    """Writes prompts for models without a chat template (see the module's description)."""

    prompt_format = "plain"
    template_sha256 = ""
    anchor = "\n"
    end = ""

    def text_prompt(self, input_text: str) -> str:
        """Puts the input on its own line(s)."""
        return f"{input_text}\n"

    def text_example(self, input_text: str, output_text: str) -> tuple[str, str]:
        """Gives the output as it stands."""
        return self.text_prompt(input_text), output_text

    def chat_prompt(self, messages: Sequence[Message], context: str = "") -> str:
        """Writes the context, each message under its author's name, and the assistant's name."""
        turns = "".join(f"{message.author}:\n{message.content}\n" for message in messages)
        return f"{self._opening(context)}{turns}assistant:\n"

    def chat_example(self, messages: Sequence[Message], context: str = "") -> tuple[str, str]:
        """Gives the last message as it stands."""
        return self.chat_prompt(messages[:-1], context), messages[-1].content

    def head_length(self, context: str) -> int:
        """Counts the context and the blank line after it."""
        return len(self._opening(context))

    @staticmethod
    def _opening(context: str) -> str:
        return f"{context}\n\n" if context else ""


class TemplateFormatter(PromptFormatter):
    """Writes prompts with the tokenizer's own chat template.

    A template that knows no system message gets the context at the start of the first user message,
    with a blank line between. Words that the template puts before every answer (such as an empty
    thinking block) belong to the prompt: the model is not asked to write them.
    """

    prompt_format = "chat_template"

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Finds out by probes what the template writes around a message.

        Raises:
            UserError: If the template cannot render conversations of user and assistant.
        """
        template = tokenizer.get_chat_template()
        self.template_sha256 = hashlib.sha256(template.encode()).hexdigest()
        self._tokenizer = tokenizer
        self._template = _DATE_MACRO + template if "strftime_now" in template else template
        self._lead = ""
        question = Message("user", _PROBES[0])
        self._has_system = self._knows_system_message(question)
        _, answer = self.chat_example([question, Message("assistant", _PROBE_ANSWER)])
        lead, found, self.end = answer.partition(_PROBE_ANSWER)
        if not found:
            raise _unusable_template("it does not write the assistant's messages.")
        # White space alone stays with the answer: tokenizers join it to the word that follows.
        self._lead = lead if lead.strip() else ""
        self.anchor = _common_end(*(self.text_prompt(probe) for probe in _PROBES))
        self._cached_head_length = lru_cache(maxsize=1024)(self._measure_head)

    def text_prompt(self, input_text: str) -> str:
        """Writes the input as the user's first message."""
        return self.chat_prompt([Message("user", input_text)])

    def text_example(self, input_text: str, output_text: str) -> tuple[str, str]:
        """Writes the output as the assistant's answer to the input."""
        return self.chat_example([Message("user", input_text), Message("assistant", output_text)])

    def chat_prompt(self, messages: Sequence[Message], context: str = "") -> str:
        """Renders the history and the opening of the assistant's message."""
        return self._render(messages, context, add_generation_prompt=True) + self._lead

    def chat_example(self, messages: Sequence[Message], context: str = "") -> tuple[str, str]:
        """Cuts the prompt off the rendered conversation: the exact rest is the completion."""
        prompt = self.chat_prompt(messages[:-1], context)
        whole = self._render(messages, context)
        if not whole.startswith(prompt):
            raise _unusable_template("an answer does not continue the prompt that asks for it.")
        return prompt, whole[len(prompt) :]

    def head_length(self, context: str) -> int:
        """Counts what the template writes before the first message's own words."""
        return self._cached_head_length(context)

    def _measure_head(self, context: str) -> int:
        prompts = [self.chat_prompt([Message("user", probe)], context) for probe in _PROBES]
        return len(os.path.commonprefix(prompts))

    def _knows_system_message(self, question: Message) -> bool:
        from jinja2 import TemplateError

        try:
            rendered = self._apply([_as_role(question)], system=_PROBES[1])
        except TemplateError:
            return False
        # Some templates pass over a system message without a word.
        return _PROBES[1] in rendered

    def _render(
        self, messages: Sequence[Message], context: str, add_generation_prompt: bool = False
    ) -> str:
        from jinja2 import TemplateError

        conversation = [_as_role(message) for message in messages]
        if context and not self._has_system:
            conversation[0]["content"] = f"{context}\n\n{conversation[0]['content']}"
        system = context if self._has_system else ""
        try:
            return self._apply(conversation, system, add_generation_prompt)
        except TemplateError as error:
            raise _unusable_template(f"it refuses a conversation: {error}") from error

    def _apply(
        self,
        conversation: list[dict[str, str]],
        system: str = "",
        add_generation_prompt: bool = False,
    ) -> str:
        opening = [{"role": "system", "content": system}] if system else []
        rendered: str = self._tokenizer.apply_chat_template(
            opening + conversation,
            chat_template=self._template,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            date_string=_DATE_STRING,
        )
        return rendered


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
        return PlainFormatter()
    if not tokenizer.chat_template:
        raise UserError(
            "the prompts are to be written by a chat template, but the tokenizer has none."
        )
    return TemplateFormatter(tokenizer)


def _as_role(message: Message) -> dict[str, str]:
    return {"role": message.author, "content": message.content}


def _common_end(first: str, second: str) -> str:
    return os.path.commonprefix([first[::-1], second[::-1]])[::-1]


def _unusable_template(what: str) -> UserError:
    return UserError(
        Problem(
            f"the model's chat template cannot be used for tuning: {what}",
            where="large_model_reference",
            fix="Choose another model, or one whose template takes user and assistant messages.",
        )
    )
