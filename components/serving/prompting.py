"""From what is asked to the tokens that the model reads, within its limits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.data.rendering.prompts import UnusableTemplateError
from kfp_llm_tuning.components.generation.instances import Instance
from kfp_llm_tuning.components.serving.refusals import Refusal

if TYPE_CHECKING:
    from kfp_llm_tuning.components.generation.engine import Tokens
    from kfp_llm_tuning.components.generation.tuned_model import TunedModel

# Texts up to this length are turned into tokens faster than another thread would begin to. What a
# template does with them is not known: it may take until it is stopped.
_SHORT = 20_000


@dataclass(frozen=True)
class PromptInput:
    """What one answer, or several of the same kind, is asked for.

    Attributes:
        where: Where it stands in the request.
        instance: Written as in training; the code before the gap, where there is a suffix.
        suffix: Code after a gap that is to be filled; empty where there is none.
        tokens: The prompt itself, where the client gives it as token ids; the instance is then
            empty.
    """

    where: str
    instance: Instance
    suffix: str = ""
    tokens: Tokens = ()

    @property
    def words(self) -> list[str]:
        """All that the client contents."""
        contents = [message.content for message in self.instance.messages]
        return [self.instance.context, *contents, self.suffix]


@dataclass(frozen=True)
class Prompt:
    """What the model reads.

    Attributes:
        ids: Token ids.
        stop_tokens: Tokens that end an answer to it.
    """

    ids: Tokens
    stop_tokens: Tokens


async def write_prompts(model: TunedModel, inputs: Sequence[PromptInput]) -> list[Prompt]:
    """Writes prompts, and checks that the model can read them.

    Args:
        model: The model.
        inputs: What is asked.

    Returns:
        One prompt each.

    Raises:
        Refusal: With every prompt that is too long, or asks what the model never learned; or if
            the model's template cannot write one.
    """
    _refuse_gaps(model, inputs)
    lengths = [sum(map(len, one.words)) for one in inputs]
    least = [length // model.longest_token for length in lengths]
    _refuse_long(model, inputs, least, "at least ")
    if sum(lengths) <= _SHORT and not model.has_template:
        prompts = _write(model, inputs)
    else:
        prompts = await asyncio.to_thread(_write, model, inputs)
    _refuse_long(model, inputs, [len(prompt.ids) for prompt in prompts])
    return prompts


def _write(model: TunedModel, inputs: Sequence[PromptInput]) -> list[Prompt]:
    plain = [one.instance for one in inputs if not one.suffix and not one.tokens]
    try:
        written = iter(model.prompts(plain, cut=False))
    except UnusableTemplateError as error:
        raise Refusal(500, *error.problems) from error
    return [
        _gap(model, one)
        if one.suffix
        else Prompt(one.tokens or next(written).ids, model.stop_tokens)
        for one in inputs
    ]


def _gap(model: TunedModel, one: PromptInput) -> Prompt:
    infilling = model.infilling
    assert infilling is not None
    tokens = model.infilling_prompt(one.instance.messages[0].content, one.suffix)
    return Prompt(tokens.ids, sorted({*model.stop_tokens, *infilling.stop_tokens}))


def _refuse_gaps(model: TunedModel, inputs: Sequence[PromptInput]) -> None:
    what = "the model's tokenizer has no tokens for filling a gap in code."
    fix = "Leave the suffix out, or tune a model that was trained for it."
    gaps = [one for one in inputs if one.suffix]
    if gaps and model.infilling is None:
        raise Refusal(400, *(Problem(what, one.where, fix=fix) for one in gaps))


def _refuse_long(
    model: TunedModel, inputs: Sequence[PromptInput], lengths: Sequence[int], about: str = ""
) -> None:
    # There must be room for one token of an answer.
    most = min(model.max_input_tokens, model.engine.context_length - 1)
    problems = [
        Problem(
            f"The model supports up to {most} input tokens, but received {about}{length} tokens.",
            one.where,
        )
        for one, length in zip(inputs, lengths, strict=True)
        if length > most
    ]
    if problems:
        raise Refusal(400, *problems, code="context_length_exceeded")
