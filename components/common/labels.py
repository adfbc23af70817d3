"""Whether a dataset's outputs are labels: one answer for validation's advice and for evaluation."""

from __future__ import annotations

from collections.abc import Mapping

# A dataset is taken for classification where few different short outputs come again and again.
MOST_LABELS = 100
LONGEST_LABEL = 64
LEAST_ROWS_PER_LABEL = 3


def can_be_label(output: str) -> bool:
    """Tells whether an output is one line of at most ``LONGEST_LABEL`` characters."""
    return 0 < len(output) <= LONGEST_LABEL and "\n" not in output.strip()


def are_labels(counts: Mapping[str, int]) -> bool:
    """Judges the outputs of a dataset.

    Args:
        counts: How often each of them occurs.

    Returns:
        Whether they are 2 to ``MOST_LABELS``, each can be a label, and the rows are at least
        ``LEAST_ROWS_PER_LABEL`` times as many.
    """
    return (
        2 <= len(counts) <= MOST_LABELS
        and sum(counts.values()) >= LEAST_ROWS_PER_LABEL * len(counts)
        and all(map(can_be_label, counts))
    )
