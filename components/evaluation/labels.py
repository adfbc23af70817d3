"""Tells classification from generation by the outputs of a dataset."""

from __future__ import annotations

from collections.abc import Iterable

# A dataset is taken for classification where few different short outputs come again and again.
MOST_LABELS = 50
LONGEST_LABEL = 64
LEAST_ROWS_PER_LABEL = 2


def find_labels(outputs: Iterable[str]) -> list[str]:
    """Finds the labels of a classification dataset.

    Args:
        outputs: The outputs of the training and the evaluation set together.

    Returns:
        The distinct outputs, sorted, where they are 2 to ``MOST_LABELS``, each one line of at most
        ``LONGEST_LABEL`` characters, and the rows at least ``LEAST_ROWS_PER_LABEL`` times as many;
        else nothing, which means generation.
    """
    rows = 0
    labels: set[str] = set()
    for output in outputs:
        rows += 1
        labels.add(output)
        if len(labels) > MOST_LABELS or len(output) > LONGEST_LABEL or "\n" in output.strip():
            return []
    if len(labels) < 2 or rows < LEAST_ROWS_PER_LABEL * len(labels):
        return []
    return sorted(labels)
