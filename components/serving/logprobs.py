"""How likely the model found its tokens, in the shapes of the three APIs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kfp_llm_tuning.components.generation.engine import TokenLogprobs
    from kfp_llm_tuning.components.generation.tuned_model import TunedModel
    from kfp_llm_tuning.components.serving.answer import ScoredToken

# JSON knows no infinity; a token that is ruled out has it.
_LEAST = -9999.0


def published_logprobs(model: TunedModel, scored: Sequence[ScoredToken]) -> dict[str, Any]:
    """Writes log-probabilities as a prediction has them.

    Args:
        model: Knows the tokens' texts.
        scored: The tokens.

    Returns:
        The field ``logprobs``.
    """
    return {
        "tokens": [model.token_text(one.token) for one in scored],
        "tokenLogProbs": [_finite(one.logprobs.chosen) for one in scored],
        "topLogProbs": [_likeliest(model, one.logprobs) for one in scored],
    }


def completion_logprobs(
    model: TunedModel, scored: Sequence[ScoredToken], offset: int
) -> dict[str, Any]:
    """Writes log-probabilities as a choice of /v1/completions has them.

    Args:
        model: Knows the tokens' texts.
        scored: The tokens.
        offset: Where in the choice's text the answer begins.

    Returns:
        The field ``logprobs``.
    """
    return {
        "tokens": [model.token_text(one.token) for one in scored],
        "token_logprobs": [_finite(one.logprobs.chosen) for one in scored],
        "top_logprobs": [_likeliest(model, one.logprobs) for one in scored],
        "text_offset": [offset + one.start for one in scored],
    }


def chat_logprobs(model: TunedModel, scored: Sequence[ScoredToken]) -> dict[str, Any]:
    """Writes log-probabilities as a choice of /v1/chat/completions has them.

    Args:
        model: Knows the tokens' texts.
        scored: The tokens.

    Returns:
        The field ``logprobs``.
    """
    content = [
        {
            **_chat_token(model, one.token, one.logprobs.chosen),
            "top_logprobs": [_chat_token(model, *pair) for pair in one.logprobs.likeliest],
        }
        for one in scored
    ]
    return {"content": content, "refusal": None}


def _chat_token(model: TunedModel, token: int, logprob: float) -> dict[str, Any]:
    text = model.token_text(token)
    # A token may be a part of a character, or be known to the model alone: its bytes are not told
    # then, rather than wrongly.
    is_whole = model.knows(token) and "\ufffd" not in text
    return {
        "token": text,
        "logprob": _finite(logprob),
        "bytes": list(text.encode()) if is_whole else None,
    }


def _likeliest(model: TunedModel, logprobs: TokenLogprobs) -> dict[str, float]:
    """Maps texts to log-probabilities; of tokens with the same text the likeliest is told."""
    found: dict[str, float] = {}
    for token, logprob in logprobs.likeliest:
        found.setdefault(model.token_text(token), _finite(logprob))
    return found


def _finite(logprob: float) -> float:
    return max(logprob, _LEAST)
