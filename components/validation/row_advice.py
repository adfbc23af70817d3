"""Warnings that a single row deserves, told when it is read."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_llm_tuning.components.common.wording import counted
from kfp_llm_tuning.components.data.reading.findings import Finding, Severity
from kfp_llm_tuning.components.data.reading.limits import ADVISED_PAIRS
from kfp_llm_tuning.components.data.reading.places import Place
from kfp_llm_tuning.components.data.rows import ChatRow, Row, TextRow
from kfp_llm_tuning.components.validation.dataset_profile import count_pairs


def advise_row(place: Place, row: Row, *, is_dialogue: bool = True) -> Iterator[Finding]:
    """Looks at one good row.

    Args:
        place: Where it stands.
        row: The row.
        is_dialogue: Whether a conversation should have several pairs; in many formats those of one
            question are conversations too.

    Yields:
        Warnings, each with its place.
    """
    for name, text in _texts(row):
        if text.isspace():
            yield warning("blank_text", f"{name} is white space only.", place, name)
    if is_dialogue and isinstance(row, ChatRow):
        pairs, (low, high) = count_pairs(row), ADVISED_PAIRS
        if not low <= pairs <= high:
            what = f"the conversation has {counted(pairs, 'user-assistant pair')}."
            advised = f"any number; {low} to {high} are advised"
            yield warning("unusual_conversation", what, place, "messages", advised)


def warning(
    kind: str,
    what: str,
    place: Place | None = None,
    path: str = "",
    allowed: str = "",
    fix: str = "",
) -> Finding:
    """Makes a warning.

    Args:
        kind: Its short name.
        what: What is worth a look.
        place: Where the example stands; None for the dataset as a whole.
        path: The field within the example.
        allowed: What would be better.
        fix: What to do.

    Returns:
        The finding.
    """
    found = Finding(kind, what, allowed, fix, Severity.WARNING)
    return found.at(place, path) if place else found


def _texts(row: Row) -> list[tuple[str, str]]:
    if isinstance(row, TextRow):
        return [("input_text", row.input_text), ("output_text", row.output_text)]
    return [(row.path(i), m.content) for i, m in enumerate(row.messages)]
