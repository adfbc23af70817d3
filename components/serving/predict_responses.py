"""Answers as the published endpoints write them, so that their clients read all of them.

Every candidate of a text or of code is a prediction of its own; those of a conversation are within
one. Nothing is scored for safety, and no source is searched for: those fields say so by being
empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.serving.logprobs import published_logprobs

if TYPE_CHECKING:
    from kfp_llm_tuning.components.generation.tuned_model import TunedModel
    from kfp_llm_tuning.components.serving.answer import ScoredToken
    from kfp_llm_tuning.components.serving.prompting import PromptInput

_AUTHOR = "bot"


class PredictionWriter:
    """Writes the predictions of one request."""

    def __init__(self, model: TunedModel, with_logprobs: bool) -> None:
        """Keeps what all predictions need.

        Args:
            model: Knows the tokens' texts.
            with_logprobs: Whether log-probabilities were asked for.
        """
        self._model = model
        self._with_logprobs = with_logprobs

    def predictions(
        self, asked: PromptInput, contents: Sequence[str], scored: Sequence[Sequence[ScoredToken]]
    ) -> list[dict[str, Any]]:
        """Writes what one instance is answered.

        Args:
            asked: The instance.
            contents: The text of each candidate, or the next piece of it.
            scored: The tokens of each.

        Returns:
            One prediction a candidate, or a single one for a conversation.
        """
        logprobs = [published_logprobs(self._model, tokens) for tokens in scored]
        if not asked.instance.is_chat:
            return [
                {
                    "content": content,
                    "safetyAttributes": _safety(),
                    "citationMetadata": {"citations": []},
                    **({"logprobs": told} if self._with_logprobs else {}),
                }
                for content, told in zip(contents, logprobs, strict=True)
            ]
        return [
            {
                "candidates": [{"author": _AUTHOR, "content": content} for content in contents],
                "safetyAttributes": [_safety() for _ in contents],
                "citationMetadata": [{"citations": []} for _ in contents],
                **({"logprobs": logprobs} if self._with_logprobs else {}),
            }
        ]


def token_metadata(
    asked: Sequence[PromptInput], prompt_tokens: int, texts: Sequence[str], output_tokens: int
) -> dict[str, Any]:
    """Counts what was read and written.

    Args:
        asked: The instances.
        prompt_tokens: Tokens of all prompts.
        texts: All answers.
        output_tokens: Tokens of all answers.

    Returns:
        The field ``metadata``.
    """
    words = [text for one in asked for text in one.words]
    return {
        "tokenMetadata": {
            "inputTokenCount": _count(prompt_tokens, words),
            "outputTokenCount": _count(output_tokens, texts),
        }
    }


def _count(tokens: int, texts: Sequence[str]) -> dict[str, int]:
    # Vertex AI's rule for what it bills: characters that are no white space.
    characters = sum(len("".join(text.split())) for text in texts)
    return {"totalTokens": tokens, "totalBillableCharacters": characters}


def _safety() -> dict[str, Any]:
    return {"categories": [], "scores": [], "blocked": False}
