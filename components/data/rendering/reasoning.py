"""Answers that begin with the model's reasoning, between the tags of today's reasoning models."""

from __future__ import annotations

_OPENING = "<think>"
CLOSING = "</think>"


def has_reasoning(answer: str) -> bool:
    """Tells whether an answer begins with reasoning; one that only mentions a tag does not."""
    return answer.lstrip().startswith(_OPENING) and CLOSING in answer


def split_reasoning(answer: str) -> tuple[str, str, str, str]:
    """Takes an answer that begins with reasoning apart; joined, the parts are the answer.

    Args:
        answer: Of which `has_reasoning` is true.

    Returns:
        The opening tag and the white space before it, the reasoning, the closing tag, the rest.
    """
    before, opening, rest = answer.partition(_OPENING)
    reasoning, closing, rest = rest.partition(CLOSING)
    return before + opening, reasoning, closing, rest
