"""Prompts and answers as the tokenizer's own chat template writes them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.data.rendering.control_tokens import ControlTokenMask, ControlTokens
from kfp_llm_tuning.components.data.rendering.prompts import (
    Example,
    PromptFormat,
    PromptFormatter,
    RowRefusedError,
    Turn,
    UnusableTemplateError,
)
from kfp_llm_tuning.components.data.rendering.reasoning import (
    CLOSING,
    has_reasoning,
    split_reasoning,
)
from kfp_llm_tuning.components.data.rendering.template_process import (
    Conversation,
    TemplateError,
    TemplateLimitError,
    template_process,
)
from kfp_llm_tuning.components.data.rows import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Templates of some models write today's date into the system message. A fixed one, the default of
# Llama's own template, makes the same data render to the same tokens on every day, in training and
# in serving. `date_string` is Llama's variable; the macro hides the function others call.
_DATE_STRING = "26 Jul 2024"
_DATE_MACRO = (
    "{%- macro strftime_now(format) %}{{- format | replace('%d', '26') | replace('%b', 'Jul')"
    " | replace('%B', 'July') | replace('%m', '07') | replace('%Y', '2024')"
    " | replace('%y', '24') | replace('%A', 'Friday') | replace('%a', 'Fri') }}{%- endmacro %}"
)

_TEMPLATE = "the model's chat template"

# Contents without a common start or end, to find out what a template writes around them.
_PROBES = ("First question.", "another one?")
_PROBE_ANSWER = "Probe answer"


class TemplateFormatter(PromptFormatter):
    """Writes prompts with the tokenizer's own chat template.

    A template that knows no system message gets the context at the start of the first user message,
    with a blank line between. Words that the template puts before every answer (such as an empty
    thinking block) belong to the prompt: the model is not asked to write them.
    """

    prompt_format: ClassVar[PromptFormat] = "chat_template"

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Finds out by probes what the template writes around a message.

        Raises:
            UnusableTemplateError: If the template cannot render what user and assistant say.
        """
        template = tokenizer.get_chat_template()
        self.template_sha256 = hashlib.sha256(template.encode()).hexdigest()
        self._template = _DATE_MACRO + template if "strftime_now" in template else template
        named = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
        self._variables = {**named, "date_string": _DATE_STRING}
        self._lead = self.end = ""
        try:
            self._probe(tokenizer, template_process().literals(template))
        except RowRefusedError as error:
            what = error.problems[0].what.removeprefix(_TEMPLATE)
            raise _unusable_template(f"it{what}") from error
        except (TemplateError, TemplateLimitError) as error:
            raise _unusable_template(_sentence(error)) from error

    def text_prompt(self, input_text: str) -> str:
        """Writes the input as the user's first message."""
        return self.chat_prompt([Message("user", input_text)])

    def chat_prompt(self, messages: Sequence[Message], context: str = "") -> str:
        """Renders the history and the opening of the assistant's message."""
        [prompt] = self._render([(messages, context)])
        if isinstance(prompt, RowRefusedError):
            raise prompt
        return prompt + self._lead

    def examples(self, turns: Sequence[Turn]) -> list[Example | RowRefusedError]:
        """Cuts prompt and end off the rendered conversation: the exact rest is the answer."""
        prompts = [(turn.messages[:-1], turn.context) for turn in turns]
        wholes = [(turn.messages, turn.context) for turn in turns]
        rendered = self._render([*prompts, *wholes])
        pairs = zip(rendered[: len(turns)], rendered[len(turns) :], strict=True)
        return [self._cut(asked, whole) for asked, whole in pairs]

    def head_length(self, context: str) -> int:
        """Counts what the template writes before the first message's own words."""
        return self._cached_head_length(context)

    def _cut(
        self, asked: str | RowRefusedError, whole: str | RowRefusedError
    ) -> Example | RowRefusedError:
        if isinstance(asked, RowRefusedError):
            return asked
        if isinstance(whole, RowRefusedError):
            return whole
        prompt = asked + self._lead
        if not whole.startswith(prompt):
            what = "writes an answer that does not continue the prompt that asks for it."
            fix = "Remove what it takes out of the answer or the history."
            return RowRefusedError(Problem(f"{_TEMPLATE} {what}", fix=fix))
        if not whole.endswith(self.end):
            what = "writes something else behind this answer than behind others."
            return RowRefusedError(f"{_TEMPLATE} {what}")
        return Example(prompt, whole[len(prompt) : len(whole) - len(self.end)])

    def _probe(self, tokenizer: PreTrainedTokenizerBase, template_text: str) -> None:
        self.control_tokens = ControlTokens(tokenizer, template_text)
        self.takes_reasoning = CLOSING in template_text
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

    def _measure_head(self, context: str) -> int:
        prompts = [self.chat_prompt([Message("user", probe)], context) for probe in _PROBES]
        return len(os.path.commonprefix(prompts))

    def _knows_system_message(self, question: Message) -> bool:
        conversation = [_role("system", _PROBES[1]), _role("user", question.content)]
        [rendered] = self._rendered([(conversation, False)])
        # Some templates pass over a system message without a word.
        return isinstance(rendered, str) and _PROBES[1] in rendered

    def _render(
        self, histories: Sequence[tuple[Sequence[Message], str]]
    ) -> list[str | RowRefusedError]:
        """Renders histories with their contexts; one that ends with the user asks for an answer."""
        masks = [ControlTokenMask(self.control_tokens) for _ in histories]
        conversations = [
            (self._roles(messages, context, mask), messages[-1].author == "user")
            for (messages, context), mask in zip(histories, masks, strict=True)
        ]
        return [
            mask.reveal(text)
            if isinstance(text, str)
            else RowRefusedError(f"{_TEMPLATE} refuses the conversation: {_sentence(text)}")
            for text, mask in zip(self._rendered(conversations), masks, strict=True)
        ]

    def _rendered(self, conversations: Sequence[Conversation]) -> list[str | TemplateError]:
        try:
            return template_process().render(self._template, self._variables, conversations)
        except (TemplateError, TemplateLimitError) as error:
            raise _unusable_template(_sentence(error)) from error

    def _roles(
        self, messages: Sequence[Message], context: str, mask: ControlTokenMask
    ) -> list[dict[str, str]]:
        roles = [_role(said.author, self._mask_text(said, mask)) for said in messages]
        if not context:
            return roles
        told = mask.hide(context)
        if self._has_system:
            return [_role("system", told), *roles]
        return [_role("user", f"{told}\n\n{roles[0]['content']}"), *roles[1:]]

    def _mask_text(self, message: Message, mask: ControlTokenMask) -> str:
        return mask.hide(message.content)


class ReasoningTemplateFormatter(TemplateFormatter):
    """Writes prompts for data whose answers begin with reasoning.

    The tags around it are the model's own, and the template sees them. A prompt ends before the
    empty thinking block that other answers get: whether to think is the model's to write.
    """

    prompt_format = "chat_template_reasoning"

    def _probe(self, tokenizer: PreTrainedTokenizerBase, template_text: str) -> None:
        super()._probe(tokenizer, template_text)
        if self._lead:
            self.anchor = self.anchor.removesuffix(self._lead)
            self._lead = ""

    def spelled_tokens(self, message: Message) -> list[str]:
        """Lists the control tokens that a message spells, besides the tags of its reasoning."""
        if message.author == "user" or not has_reasoning(message.content):
            return super().spelled_tokens(message)
        _, reasoning, _, rest = split_reasoning(message.content)
        return self.control_tokens.spelled_in(f"{reasoning}\n{rest}")

    def _mask_text(self, message: Message, mask: ControlTokenMask) -> str:
        if message.author == "user" or not has_reasoning(message.content):
            return super()._mask_text(message, mask)
        opening, reasoning, closing, rest = split_reasoning(message.content)
        return f"{opening}{mask.hide(reasoning)}{closing}{mask.hide(rest)}"


def _role(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _sentence(error: Exception) -> str:
    return f"{str(error).rstrip('.')}."


def _common_end(first: str, second: str) -> str:
    return os.path.commonprefix([first[::-1], second[::-1]])[::-1]


def _unusable_template(what: str) -> UnusableTemplateError:
    return UnusableTemplateError(
        Problem(
            f"{_TEMPLATE} cannot be used: {what}",
            where="large_model_reference",
            fix="Mend it, or choose a model whose template takes user and assistant messages.",
        )
    )
