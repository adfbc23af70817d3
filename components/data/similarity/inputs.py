"""What an example asks, as it is compared with others: levelled, and as a digest."""

from __future__ import annotations

import hashlib

from msgspec import UNSET

from kfp_llm_tuning.components.data.rows import Row, TextRow, answers, message_text


def level_text(text: str) -> str:
    """Levels differences of case and white space."""
    return " ".join(text.casefold().split())


def input_and_output(row: Row) -> tuple[str, str, str]:
    """Gives what is asked, the field of what is answered (of conversations last), and that.

    A conversation of one question asks what a text of the same words does: sets in several formats
    are compared.
    """
    if isinstance(row, TextRow):
        return row.input_text, "output_text", row.output_text
    context = "" if row.context is UNSET else str(row.context)
    last = len(row.messages) - 1
    position, answer = max(answers(row), default=(last, row.messages[last]))
    said = [context, *map(message_text, row.messages[:position])]
    return "\n".join(filter(None, said)), row.path(position), message_text(answer)


def digest(text: str) -> int:
    """Hashes a text to 64 bits: of a million texts two are taken for one once in 10^7 datasets."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
