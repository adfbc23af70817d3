from __future__ import annotations

from collections import Counter

import pytest

from kfp_llm_tuning.components.common.labels import LONGEST_LABEL, MOST_LABELS, are_labels


@pytest.mark.parametrize(
    "outputs",
    [["b", "a"] * 3, ["a"] * 5 + ["b"], [str(n) for n in range(MOST_LABELS)] * 3],
    ids=["two", "one of them once", "many"],
)
def test_few_outputs_that_come_again_are_labels(outputs: list[str]) -> None:
    assert are_labels(Counter(outputs))


@pytest.mark.parametrize(
    "outputs",
    [
        [],
        ["a", "a", "a"],
        ["a", "b", "a", "b", "a"],
        [str(n) for n in range(MOST_LABELS + 1)] * 3,
        ["a", "x" * (LONGEST_LABEL + 1)] * 3,
        ["a", "two\nlines"] * 3,
        ["a", ""] * 3,
    ],
    ids=["none", "one", "not again", "too many", "too long", "two lines", "empty"],
)
def test_other_outputs_are_no_labels(outputs: list[str]) -> None:
    assert not are_labels(Counter(outputs))
