"""Rows that would be made into far more than they are: refused before anything is made of them."""

from __future__ import annotations

from collections.abc import Sequence

from kfp_llm_tuning.components.data.reading.findings import Finding
from kfp_llm_tuning.components.data.reading.limits import (
    MAXIMUM_EXAMPLE_CHARACTERS,
    MAXIMUM_HISTORY_CHARACTERS,
)
from kfp_llm_tuning.components.data.rows import ChatRow, Row, answers, count_characters


def may_be_too_large(size: int, rows: Sequence[Row]) -> bool:
    """Tells whether rows need a closer look.

    Args:
        size: Bytes of the lines that they stand on: no row has more characters.
        rows: One at least, all of one format.

    Returns:
        False where :func:`too_large` finds nothing in any of them.
    """
    answers = max(_count_answers(row) for row in rows) if isinstance(rows[0], ChatRow) else 1
    return size > MAXIMUM_EXAMPLE_CHARACTERS or size * answers > MAXIMUM_HISTORY_CHARACTERS


def too_large(row: Row, path: str) -> Finding | None:
    """Judges a row's size.

    Args:
        row: A good row.
        path: "" or ``data[4]``.

    Returns:
        The finding, or None.
    """
    characters = count_characters(row)
    if characters > MAXIMUM_EXAMPLE_CHARACTERS:
        what = f"the example has {characters:,} characters."
        allowed = f"at most {MAXIMUM_EXAMPLE_CHARACTERS:,} characters"
        fix = "No model reads so long a text: leave out what does not matter."
        return Finding("example_too_large", what, allowed, fix, path=path)
    answers = _count_answers(row)
    if characters * answers > MAXIMUM_HISTORY_CHARACTERS:
        what = (
            f"the conversation has {answers:,} answers and {characters:,} characters: every answer "
            "is learned with all that stands before it."
        )
        allowed = f"at most {MAXIMUM_HISTORY_CHARACTERS:,} for answers times characters"
        return Finding("example_too_large", what, allowed, "Cut it into conversations.", path=path)
    return None


def _count_answers(row: Row) -> int:
    return sum(1 for _ in answers(row)) if isinstance(row, ChatRow) else 1
