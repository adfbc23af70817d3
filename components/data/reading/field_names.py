"""Names that people write where the format wants others, and how a message quotes values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache

from kfp_llm_tuning.components.common.wording import escape, nearest

# Fields and authors of other tools' formats, each list in order of likelihood.
_FIELD_SYNONYMS = {
    "input_text": ("input", "prompt", "question", "query", "instruction", "text", "source"),
    "output_text": ("output", "completion", "answer", "response", "label", "target", "text"),
    "messages": ("conversation", "conversations", "dialog", "dialogue", "contents", "turns"),
    "author": ("role", "from", "speaker", "sender", "name"),
    "content": ("text", "value", "parts", "message", "body"),
    "role": ("author", "from", "speaker", "sender"),
    "from": ("author", "role", "speaker", "sender"),
    "value": ("content", "text", "message", "body"),
    "text": ("content", "value", "message", "body"),
    "parts": ("content", "text", "value"),
    "contents": ("messages", "conversation", "conversations", "turns"),
    "conversations": ("conversation", "messages", "dialog", "dialogue", "turns"),
    "prompt": ("input", "question", "query", "instruction", "text", "source"),
    "completion": ("output", "response", "answer", "label", "target"),
    "instruction": ("prompt", "question", "query", "task"),
    "output": ("response", "completion", "answer", "label", "target"),
    "chosen": ("preferred", "accepted", "winner"),
    "rejected": ("unpreferred", "refused", "loser"),
}
_AUTHOR_SYNONYMS = {
    "user": ("human", "customer", "client", "me"),
    "assistant": ("bot", "model", "ai", "gpt", "agent", "chatbot"),
}
_QUOTED_CHARACTERS = 40
# No format has more fields, or longer names.
_NAMES_LOOKED_AT = 30
_LONGEST_NAME = 60


def possible_names(names: Sequence[str]) -> tuple[str, ...]:
    """Chooses the names that may be misspelt ones: the first few, and none that is long."""
    return tuple(name for name in names[:_NAMES_LOOKED_AT] if len(name) <= _LONGEST_NAME)


@lru_cache(maxsize=1024)
def misspelling_of(field: str, names: tuple[str, ...], taken: tuple[str, ...]) -> str:
    """Finds the name under which a missing field may stand.

    Args:
        field: The field that is missing.
        names: Names that are there.
        taken: Fields that keep their own names, and are therefore no misspelling.

    Returns:
        One of ``names``, or "".
    """
    free = {_plain(name): name for name in names if name not in taken}
    for synonym in (_plain(field), *_FIELD_SYNONYMS.get(field, ())):
        if synonym in free:
            return free[synonym]
    return free.get(nearest(_plain(field), free, cutoff=0.7), "")


@lru_cache(maxsize=256)
def author_for(name: str) -> str:
    """Finds the author that a wrong name means; "" where none is near."""
    plain = name.strip().lower()
    for author, synonyms in _AUTHOR_SYNONYMS.items():
        if plain == author or plain in synonyms:
            return author
    return nearest(plain, _AUTHOR_SYNONYMS)


def quote(text: str, characters: int = _QUOTED_CHARACTERS) -> str:
    """Quotes a text for a message: shortened, control characters escaped.

    Args:
        text: Any text.
        characters: How many of them are shown.

    Returns:
        The text in double quotes.
    """
    shown = text if len(text) <= characters else text[: characters - 1] + "…"
    return escape(json.dumps(shown, ensure_ascii=False))


def list_names(names: Sequence[str], most: int = 8) -> str:
    """Lists field names for a message: at most ``most``, each quoted."""
    shown = ", ".join(quote(name, 30) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _plain(name: str) -> str:
    """Writes a name in lower-case with underscores: ``inputText``, ``Input-Text`` -> one form."""
    spaced = "".join(f"_{c.lower()}" if c.isupper() else c for c in name.strip())
    return "_".join(spaced.replace("-", "_").replace(" ", "_").strip("_").split("__"))
