from __future__ import annotations

import pytest

from kfp_llm_tuning.components.evaluation.labels import LONGEST_LABEL, MOST_LABELS, find_labels


def test_few_outputs_that_come_again_are_labels():
    assert find_labels(["b", "a", "b", "a"]) == ["a", "b"]
    assert find_labels([str(n) for n in range(MOST_LABELS)] * 2)


@pytest.mark.parametrize(
    "outputs",
    [
        [],
        ["a", "a", "a"],
        ["a", "b", "a"],
        [str(n) for n in range(MOST_LABELS + 1)] * 2,
        ["a", "x" * (LONGEST_LABEL + 1)] * 3,
        ["a", "two\nlines"] * 3,
    ],
    ids=["none", "one", "not again", "too many", "too long", "two lines"],
)
def test_other_outputs_are_no_labels(outputs):
    assert find_labels(outputs) == []
