"""Prompts and answers as the tokenizer's own chat template writes them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec.structs import replace

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.data.rendering.control_tokens import ControlTokenMask, ControlTokens
from kfp_llm_tuning.components.data.rendering.omissions import (
    OmissionFinder,
    Part,
    refuse_omissions,
)
from kfp_llm_tuning.components.data.rendering.prompts import (
    Example,
    PromptFormat,
    PromptFormatter,
    RowRefusedError,
    Turn,
    UnusableTemplateError,
)
from kfp_llm_tuning.components.data.rendering.reasoning import split_reasoning, thinks
from kfp_llm_tuning.components.data.rendering.template_dialect import PROBE_CALL, find_dialect
from kfp_llm_tuning.components.data.rendering.template_messages import (
    TemplateDialect,
    TemplateMessages,
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

    Words that the template puts before every answer (such as an empty thinking block) belong to the
    prompt: the model is not asked to write them. Those that it asks with, and that no answer it
    writes begins with (such as an opened thinking block), belong to no prompt. Tags of reasoning
    are text like any other.
    """

    prompt_format: ClassVar[PromptFormat] = "chat_template"
    _tags_are_text: ClassVar[bool] = True

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
        self._unanswered = self._lead = self.end = self.call_end = ""
        try:
            self._probe(tokenizer, template_process().literals(template))
        except RowRefusedError as error:
            what = error.problems[0].what.removeprefix(_TEMPLATE)
            raise _unusable_template(f"it{what}") from error
        except (TemplateError, TemplateLimitError) as error:
            raise _unusable_template(_sentence(error)) from error

    def prompt(self, turn: Turn) -> str:
        """Renders what was said and the opening of the assistant's message."""
        [parts] = self._omissions.find([turn])
        if refused := refuse_omissions(_TEMPLATE, parts):
            raise refused
        [prompt] = self._render([turn], asks=True)
        if isinstance(prompt, RowRefusedError):
            raise prompt
        return self._opened(prompt)

    def examples(self, turns: Sequence[Turn]) -> list[Example | RowRefusedError]:
        """Cuts prompt and end off the rendered conversation: the exact rest is the answer."""
        omitted = self._omissions.find(turns)
        prompts = self._render([turn.history for turn in turns], asks=True)
        wholes = self._render(turns, asks=False)
        return [
            refuse_omissions(_TEMPLATE, parts) or self._cut(asked, whole)
            for parts, asked, whole in zip(omitted, prompts, wholes, strict=True)
        ]

    def head_length(self, context: str, tools: Sequence[Mapping[str, Any]] = ()) -> int:
        """Counts what the template writes before the first message's own words."""
        return self._cached_head_length(context, json.dumps(tools))

    def _opened(self, asked: str) -> str:
        """Ends a prompt where answers begin."""
        return asked.removesuffix(self._unanswered) + self._lead

    def _cut(
        self, asked: str | RowRefusedError, whole: str | RowRefusedError
    ) -> Example | RowRefusedError:
        if isinstance(asked, RowRefusedError):
            return asked
        if isinstance(whole, RowRefusedError):
            return whole
        prompt = self._opened(asked)
        if not whole.startswith(prompt):
            what = "writes an answer that does not continue the prompt that asks for it."
            fix = "Remove what it takes out of the answer or the history."
            return RowRefusedError(Problem(f"{_TEMPLATE} {what}", fix=fix))
        if whole.endswith(self.end):
            return Example(prompt, whole[len(prompt) : len(whole) - len(self.end)])
        if whole.endswith(self.call_end):
            answer = whole[len(prompt) : len(whole) - len(self.call_end)]
            return Example(prompt, answer, self.call_end)
        what = "writes something else behind this answer than behind others."
        return RowRefusedError(f"{_TEMPLATE} {what}")

    def _probe(self, tokenizer: PreTrainedTokenizerBase, template_text: str) -> None:
        self.control_tokens = ControlTokens(tokenizer, template_text)
        mask = ControlTokenMask(self.control_tokens)
        self._dialect = find_dialect(self._rendered, mask, template_text)
        self.takes_reasoning = self._dialect.knows_reasoning
        self._omissions = OmissionFinder(
            partial(self._render, asks=False), list(_unwritten(self._dialect))
        )
        question = Message("user", _PROBES[0])
        self._probe_answer(Turn([question, Message("assistant", _PROBE_ANSWER)]))
        self.call_end = self._find_call_end(question) if self._dialect.calls else self.end
        self.inner_tokens = self._find_inner_tokens(question)
        asked = (Turn([Message("user", probe)]) for probe in _PROBES)
        self.anchor = _common_end(*map(self.prompt, asked))
        self._cached_head_length = lru_cache(maxsize=1024)(self._measure_head)

    def _probe_answer(self, turn: Turn) -> None:
        """Finds what stands before an answer and behind it."""
        [bare] = self._render([turn.history], asks=False)
        [asked] = self._render([turn.history], asks=True)
        [whole] = self._render([turn], asks=False)
        if isinstance(bare, str) and isinstance(asked, str) and isinstance(whole, str):
            self._unanswered = self._find_unanswered(bare, asked, whole)
        example = self._cut(asked, whole)
        if isinstance(example, RowRefusedError):
            raise example
        lead, found, self.end = example.answer.partition(_PROBE_ANSWER)
        if not found:
            raise _unusable_template("it does not write the assistant's messages.")
        # White space alone stays with the answer: tokenizers join it to the word that follows.
        self._lead = lead if lead.strip() else ""

    def _find_unanswered(self, bare: str, asked: str, whole: str) -> str:
        """Finds what the template asks with, and no answer that it writes begins with."""
        common = len(os.path.commonprefix([asked, whole]))
        if common < len(bare) or common == len(asked):
            return ""
        tokens = self.control_tokens.pattern.finditer(asked)
        within = (found.start() for found in tokens if found.start() < common < found.end())
        return asked[next(within, common) :]

    def _find_call_end(self, question: Message) -> str:
        """Finds what stands behind calls of tools: their last control token and what follows."""
        calls = [replace(PROBE_CALL, arguments={"argument": word}) for word in _PROBES]
        answers = [Message("assistant", "", tool_calls=(call,)) for call in calls]
        texts = self._render([Turn([question, answer]) for answer in answers], asks=False)
        common = _common_end(*map(str, texts))
        tokens = [found.start() for found in self.control_tokens.pattern.finditer(common)]
        return self.end if common.endswith(self.end) or not tokens else common[tokens[-1] :]

    def _find_inner_tokens(self, question: Message) -> list[str]:
        """Lists the control tokens that the template writes within calls and reasoning."""
        answers = []
        if self._dialect.calls:
            answers.append(Message("assistant", "", tool_calls=(PROBE_CALL,)))
        if self._dialect.knows_reasoning:
            answers.append(Message("assistant", _PROBE_ANSWER, "A thought."))
        turns = [Turn([question, answer]) for answer in answers]
        prompts = self._render([turn.history for turn in turns], asks=True)
        examples = map(self._cut, prompts, self._render(turns, asks=False))
        texts = (example.answer for example in examples if isinstance(example, Example))
        return self.control_tokens.spelled_in("".join(texts))

    def _measure_head(self, context: str, tools: str) -> int:
        # Some templates write tools behind the first messages, before the last question.
        behind = [Message("assistant", _PROBE_ANSWER), Message("user", "A last one.")]
        turns = [
            Turn([Message("user", probe), *behind], context, tools=json.loads(tools))
            for probe in _PROBES
        ]
        prompts = self._render(turns, asks=True)
        texts = [prompt for prompt in prompts if isinstance(prompt, str)]
        return len(os.path.commonprefix(texts))

    def _render(self, turns: Sequence[Turn], *, asks: bool) -> list[str | RowRefusedError]:
        """Renders conversations, with the opening of the assistant's message where one is asked."""
        conversations: list[Conversation | RowRefusedError] = []
        masks: list[ControlTokenMask] = []
        written: TemplateMessages | None = None
        for turn in turns:
            if written is None or not written.holds(turn):
                mask = ControlTokenMask(self.control_tokens)
                written = TemplateMessages(
                    self._dialect, mask, turn, tags_are_text=self._tags_are_text
                )
            masks.append(mask)
            conversations.append(_conversation(written, turn, asks))
            if isinstance(conversations[-1], RowRefusedError):
                written = None
        rendered = iter(
            self._rendered([one for one in conversations if isinstance(one, Conversation)])
        )
        return [
            conversation
            if isinstance(conversation, RowRefusedError)
            else _revealed(next(rendered), mask)
            for conversation, mask in zip(conversations, masks, strict=True)
        ]

    def _rendered(self, conversations: Sequence[Conversation]) -> list[str | TemplateError]:
        try:
            return template_process().render(self._template, self._variables, conversations)
        except (TemplateError, TemplateLimitError) as error:
            raise _unusable_template(_sentence(error)) from error


class ReasoningTemplateFormatter(TemplateFormatter):
    """Writes prompts for data whose answers have reasoning.

    The tags around it are the model's own, and the template sees them. A prompt ends before the
    empty thinking block that other answers get: whether to think is the model's to write.
    """

    prompt_format = "chat_template_reasoning"
    _tags_are_text = False

    def _probe(self, tokenizer: PreTrainedTokenizerBase, template_text: str) -> None:
        super()._probe(tokenizer, template_text)
        if self._lead:
            self.anchor = self.anchor.removesuffix(self._lead)
            self._lead = ""

    def spelled_tokens(self, message: Message) -> list[str]:
        """Lists the control tokens that a message spells, besides the tags of its reasoning."""
        if message.reasoning or not thinks(message):
            return super().spelled_tokens(message)
        _, reasoning, _, rest = split_reasoning(message.content)
        return super().spelled_tokens(replace(message, content=f"{reasoning}\n{rest}"))


def _unwritten(dialect: TemplateDialect) -> Iterator[Part]:
    """Lists what a template never writes."""
    if not dialect.calls:
        yield from (Part.CALLS, Part.TOOL_ANSWERS)
    if not dialect.knows_reasoning:
        yield Part.REASONING
    if dialect.drops_reasoning:
        yield Part.INLINE_REASONING


def _conversation(
    written: TemplateMessages, turn: Turn, asks: bool
) -> Conversation | RowRefusedError:
    try:
        return Conversation(written.messages(turn), written.tools, asks)
    except UserError as error:
        return RowRefusedError(*error.problems)


def _revealed(text: str | TemplateError, mask: ControlTokenMask) -> str | RowRefusedError:
    if isinstance(text, TemplateError):
        return RowRefusedError(f"{_TEMPLATE} refuses the conversation: {_sentence(text)}")
    return mask.reveal(text)


def _sentence(error: Exception) -> str:
    text = str(error)
    return text if text.endswith((".", "!", "?")) else f"{text}."


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
