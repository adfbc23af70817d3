"""Bodies of /v1/chat/completions and /v1/completions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.generation.engine import Sampling
from kfp_llm_tuning.components.generation.instances import Instance, text_instance
from kfp_llm_tuning.components.serving.openai_messages import read_messages
from kfp_llm_tuning.components.serving.prompting import PromptInput
from kfp_llm_tuning.components.serving.refusals import Refusal
from kfp_llm_tuning.components.serving.request_fields import Fields, as_number, shown
from kfp_llm_tuning.components.serving.sampling_fields import (
    MAX_CANDIDATES,
    read_sampling,
    read_stops,
)

if TYPE_CHECKING:
    from kfp_llm_tuning.components.generation.tuned_model import TunedModel

# OpenAI's own defaults.
_DEFAULTS = Sampling(temperature=1.0)
_COMPLETION_TOKENS = 16
_MOST_CHAT_LOGPROBS = 20
_MOST_COMPLETION_LOGPROBS = 5

_LIMITS = ("max_tokens", "max_completion_tokens")
_UNSEEN = (
    "user",
    "metadata",
    "store",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "service_tier",
    "parallel_tool_calls",
)
_NO_TOOLS = "this server's models call no tools."
_NO_FORMAT = "this server does not force a format on an answer: ask for it in the messages."
_NO_SOUND = "this server's models read and write text only."
_NO_EFFORT = "this server's models are not told how much to think or to write."
_REFUSED = {
    "tools": _NO_TOOLS,
    "tool_choice": _NO_TOOLS,
    "functions": _NO_TOOLS,
    "function_call": _NO_TOOLS,
    "response_format": _NO_FORMAT,
    "modalities": _NO_SOUND,
    "audio": _NO_SOUND,
    "prediction": "this server makes no use of predicted outputs.",
    "web_search_options": "this server searches for no sources.",
    "reasoning_effort": _NO_EFFORT,
    "verbosity": _NO_EFFORT,
    "moderation": "this server scores nothing for safety.",
}
_PROMPTS = "a text, token ids, or a list of either"
# What asks for nothing but text.
_HARMLESS: tuple[Any, ...] = ([], "none", "auto", {"type": "text"}, ["text"])


@dataclass(frozen=True)
class CompletionRequest:
    """What either route is asked.

    Attributes:
        asked: The prompts; of a chat always one.
        limit: Most tokens of an answer, where the client says so.
        usual_limit: Most tokens of an answer where it does not, if there is room.
        count: Answers to each prompt.
        sampling: How tokens are chosen.
        stops: Texts before which an answer ends.
        stream: Whether the answers come as they are written.
        with_usage: Whether a stream ends with the counts of tokens.
        echo: Whether an answer begins with its prompt.
    """

    asked: Sequence[PromptInput]
    limit: int | None
    usual_limit: int
    count: int
    sampling: Sampling
    stops: tuple[str, ...]
    stream: bool
    with_usage: bool
    echo: bool = False


def read_chat(body: dict[str, Any], model: TunedModel, most: int) -> CompletionRequest:
    """Reads a body of /v1/chat/completions.

    Args:
        body: The JSON object; its model is not looked at.
        model: Its limits are the request's.
        most: Prompts that may be given at once; a chat is one.

    Returns:
        The request.

    Raises:
        Refusal: With every mistake found.
    """
    problems: list[Problem] = []
    fields = Fields(body, "", problems)
    asked = [PromptInput("messages", read_messages(fields))]
    top = fields.whole("top_logprobs", 0, 0, _MOST_CHAT_LOGPROBS)
    with_logprobs = fields.flag("logprobs")
    if fields.has("top_logprobs") and not with_logprobs:
        fields.complain("top_logprobs", "is for logprobs, which are not asked for.")
    request = _read(fields, model, asked, top if with_logprobs else None)
    fields.refuse(_REFUSED, _HARMLESS)
    return _finish(fields, problems, request)


def read_completion(body: dict[str, Any], model: TunedModel, most: int) -> CompletionRequest:
    """Reads a body of /v1/completions.

    Args:
        body: The JSON object; its model is not looked at.
        model: Its limits are the request's.
        most: Prompts that may be given at once.

    Returns:
        The request.

    Raises:
        Refusal: With every mistake found.
    """
    problems: list[Problem] = []
    fields = Fields(body, "", problems)
    asked = _prompts(fields, model, most)
    logprobs = None
    if fields.has("logprobs"):
        logprobs = fields.whole("logprobs", 0, 0, _MOST_COMPLETION_LOGPROBS)
    request = replace(
        _read(fields, model, asked, logprobs),
        usual_limit=min(_COMPLETION_TOKENS, model.max_output_tokens),
        echo=fields.flag("echo"),
    )
    if request.echo and logprobs is not None:
        fields.complain("echo", "log-probabilities of prompts are not told: leave out echo.")
    if fields.whole("best_of", request.count, 1, MAX_CANDIDATES) != request.count:
        fields.complain("best_of", "all answers are given: none is chosen.", "the value of n")
    return _finish(fields, problems, request)


def _read(
    fields: Fields, model: TunedModel, asked: Sequence[PromptInput], logprobs: int | None
) -> CompletionRequest:
    """Takes what both routes have."""
    stream = fields.flag("stream")
    options = fields.object("stream_options")
    with_usage = False
    if options is not None:
        with_usage = options.flag("include_usage")
        options.ignore(["include_obfuscation"])
        options.finish()
        if not stream:
            fields.complain("stream_options", "is for streams, and none is asked for.")
    return CompletionRequest(
        asked=asked,
        limit=_limit(fields, model.max_output_tokens),
        usual_limit=model.max_output_tokens,
        count=fields.whole("n", 1, 1, MAX_CANDIDATES),
        sampling=read_sampling(fields, _as_it_is, _DEFAULTS, model.vocabulary_size, logprobs),
        stops=read_stops(fields, "stop"),
        stream=stream,
        with_usage=with_usage,
    )


def _finish(
    fields: Fields, problems: Sequence[Problem], request: CompletionRequest
) -> CompletionRequest:
    fields.ignore(["model", *_UNSEEN])
    fields.finish()
    if problems:
        raise Refusal(400, *problems)
    return request


def _limit(fields: Fields, most: int) -> int | None:
    given = {name: fields.whole(name, most, 1, most) for name in _LIMITS if fields.has(name)}
    if len(set(given.values())) > 1:
        fields.complain(_LIMITS[0], f"differs from {_LIMITS[1]}, its newer name.")
    return next(iter(given.values()), None)


def _prompts(fields: Fields, model: TunedModel, most: int) -> list[PromptInput]:
    prompt = fields.take("prompt")
    suffix = fields.text("suffix", default="")
    if prompt is None:
        fields.complain("prompt", "is missing.", _PROMPTS)
        return []
    is_one = not isinstance(prompt, list) or all(as_number(item) is not None for item in prompt)
    if is_one:
        return [_prompt(fields, model, "prompt", prompt, suffix)]
    if len(prompt) > most:
        fields.complain("prompt", f"has {len(prompt)} items.", f"at most {most}")
        return []
    return [
        _prompt(fields, model, f"prompt[{index}]", item, suffix)
        for index, item in enumerate(prompt)
    ]


def _prompt(fields: Fields, model: TunedModel, name: str, prompt: Any, suffix: str) -> PromptInput:
    if isinstance(prompt, str):
        if not prompt:
            fields.complain(name, "is empty.", "a text that is not empty")
        return PromptInput(name, text_instance(prompt), suffix)
    tokens = prompt if isinstance(prompt, list) else []
    if not isinstance(prompt, list):
        fields.complain(name, f"{shown(prompt)} is no prompt.", _PROMPTS)
    elif not tokens:
        fields.complain(name, "is empty.", _PROMPTS)
    elif suffix:
        fields.complain("suffix", "can follow a text only, not token ids.")
    elif not all(_is_token(token, model) for token in tokens):
        last = model.vocabulary_size - 1
        fields.complain(name, "not all items are token ids.", f"whole numbers from 0 to {last}")
    return PromptInput(name, Instance(()), tokens=tokens)


def _is_token(token: Any, model: TunedModel) -> bool:
    return type(token) is int and 0 <= token < model.vocabulary_size


def _as_it_is(name: str) -> str:
    return name
