"""Reads what a deployed model answers: its text, or what it says instead of one."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

# As much of a server's words as a message repeats.
_MOST_CHARACTERS = 600
# As much of them as is looked through for these: searching a page takes the square of its length.
_MOST_READ = 20_000
_OBJECT = re.compile(r"\{.*\}", re.DOTALL)
_PAGE = re.compile(r"<(!doctype\s+)?html", re.IGNORECASE)
_INVISIBLE = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)


def prediction_text(predictions: Sequence[Any]) -> str | None:
    """Finds the text of an answer to one instance.

    Args:
        predictions: As the published endpoints shape them.

    Returns:
        The text, which may be empty: a model may end at once. None where there is not exactly one
        prediction, or where it holds no text.
    """
    match predictions:
        case [{"content": str(text)}] | [{"candidates": [{"content": str(text)}, *_]}]:
            return str(text)
    return None


def error_text(text: str) -> str:
    """Makes a server's words short enough for a message.

    Args:
        text: An error's message: a sentence, the JSON body of a server's answer, or a web page.

    Returns:
        The sentence; for a body its message, for a page what a person sees of it.
    """
    text = text[:_MOST_READ]
    if _PAGE.search(text):
        text = _INVISIBLE.sub(" ", text)
    elif found := _OBJECT.search(text):
        text = _message(found[0]) or text
    words = " ".join(text.split())
    return words if len(words) <= _MOST_CHARACTERS else f"{words[:_MOST_CHARACTERS]}..."


def _message(text: str) -> str:
    """Reads the message of ``{"error": {"message": ...}}`` and of other common bodies."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    for name in ("error", "message", "detail"):
        if isinstance(content, dict) and name in content:
            content = content[name]
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
