"""How tokens are chosen: the fields that both APIs have, spelled in each one's way."""

from __future__ import annotations

from collections.abc import Callable

from kfp_llm_tuning.components.generation.engine import Sampling
from kfp_llm_tuning.components.serving.request_fields import Fields, as_number, shown

MAX_CANDIDATES = 8
MAX_STOP_SEQUENCES = 5
_HOTTEST = 2.0
_STRONGEST_PENALTY = 2.0
_STRONGEST_BIAS = 100.0
_LONGEST_STOP = 1000
_LARGEST_TOP_K = 1_000_000
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1

Spelling = Callable[[str], str]


def read_sampling(
    fields: Fields, spelling: Spelling, defaults: Sampling, vocabulary: int, logprobs: int | None
) -> Sampling:
    """Takes everything but the log-probabilities, which each API asks for in a way of its own.

    Args:
        fields: Takes note of mistakes.
        spelling: Spells a field's name, which is given in snake case.
        defaults: What stands for absent fields.
        vocabulary: Number of tokens, whose ids a bias may name.
        logprobs: As of `Sampling`.

    Returns:
        How tokens are chosen.
    """
    temperature = fields.number(spelling("temperature"), defaults.temperature, 0, _HOTTEST)
    top_p = fields.number(spelling("top_p"), defaults.top_p, 0, 1)
    top_k = fields.whole(spelling("top_k"), defaults.top_k, 1, _LARGEST_TOP_K)
    seed = spelling("seed")
    return Sampling(
        # No share of the probability leaves the likeliest token alone.
        temperature=temperature if top_p > 0 else 0.0,
        top_p=top_p or defaults.top_p,
        top_k=top_k if top_k < vocabulary else 0,
        seed=fields.whole(seed, 0, _SMALLEST, _LARGEST) if fields.has(seed) else None,
        presence_penalty=_penalty(fields, spelling("presence_penalty")),
        frequency_penalty=_penalty(fields, spelling("frequency_penalty")),
        logit_bias=_logit_bias(fields, spelling("logit_bias"), vocabulary),
        logprobs=logprobs,
    )


def read_stops(fields: Fields, name: str) -> tuple[str, ...]:
    """Takes stop sequences: a list of texts; one text is as good as a list of it.

    Args:
        fields: Takes note of mistakes.
        name: The field.

    Returns:
        The sequences; none where the field is absent or wrong.
    """
    value = fields.take(name)
    if value is None:
        return ()
    texts = [value] if isinstance(value, str) else value
    allowed = f"at most {MAX_STOP_SEQUENCES} texts"
    if not isinstance(texts, list):
        fields.complain(name, f"{shown(value)} is no list of texts.", allowed)
        return ()
    if len(texts) > MAX_STOP_SEQUENCES:
        fields.complain(name, f"{len(texts)} are too many.", allowed)
        return ()
    for index, text in enumerate(texts):
        _check_stop(fields, f"{name}[{index}]" if texts is value else name, text)
    return tuple(text for text in texts if isinstance(text, str))


def _check_stop(fields: Fields, name: str, text: object) -> None:
    if not isinstance(text, str):
        fields.complain(name, f"{shown(text)} is no text.", "a text")
    elif not text:
        fields.complain(name, "is empty: it would end every answer.", "a text that is not empty")
    elif len(text) > _LONGEST_STOP:
        what = f"has {len(text)} characters."
        fields.complain(name, what, f"at most {_LONGEST_STOP}")


def _penalty(fields: Fields, name: str) -> float:
    return fields.number(name, 0.0, -_STRONGEST_PENALTY, _STRONGEST_PENALTY)


def _logit_bias(fields: Fields, name: str, vocabulary: int) -> dict[int, float]:
    value = fields.take(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        fields.complain(name, f"{shown(value)} is no object.", "token ids with their biases")
        return {}
    if len(value) > vocabulary:
        fields.complain(name, f"has {len(value)} fields.", f"at most {vocabulary}: the tokens")
        return {}
    biases: dict[int, float] = {}
    for key, bias in value.items():
        place = f"{name}.{key[:20]}"
        token = int(key) if key.isascii() and key.isdecimal() and len(key) < 10 else -1
        amount = as_number(bias)
        if not 0 <= token < vocabulary:
            fields.complain(place, f"{shown(key)} is no token id.", f"0 to {vocabulary - 1}")
        elif amount is None or abs(amount) > _STRONGEST_BIAS:
            strongest = f"{-_STRONGEST_BIAS:g} to {_STRONGEST_BIAS:g}"
            fields.complain(place, f"{shown(bias)} is no bias.", strongest)
        else:
            biases[token] = amount
    return biases
