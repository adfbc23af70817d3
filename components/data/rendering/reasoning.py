"""What the assistant thought before an answer: held apart, or between tags at its start."""

from __future__ import annotations

from kfp_llm_tuning.components.data.rows import Message

_OPENING = "<think>"
CLOSING = "</think>"


def thinks(message: Message) -> bool:
    """Tells whether a message has reasoning, apart from its content or at the start of it."""
    return message.author == "assistant" and (
        bool(message.reasoning) or has_reasoning(message.content)
    )


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


def join_reasoning(reasoning: str, content: str) -> str:
    """Writes reasoning before an answer, as reasoning models do."""
    return f"{_OPENING}\n{reasoning}\n{CLOSING}\n\n{content}"
