"""The share of a training set that is held out: the same in any order, and nothing alike across."""

from __future__ import annotations

import random

import numpy
import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.data.held_out import RowInputs
from kfp_llm_tuning.components.data.reading.places import Place
from kfp_llm_tuning.components.data.rows import TextRow
from kfp_llm_tuning.components.models.dataset_limits import OPEN, PUBLISHED, DatasetLimits
from tests.components.data.similarity.texts import words


def held_out(
    texts: list[str], fraction: float, seed: int = 0, limits: DatasetLimits = OPEN
) -> set[str]:
    """The texts of the rows that are held out."""
    inputs = RowInputs()
    for number, text in enumerate(texts):
        inputs.add(Place(number + 1), TextRow(text, "answer"))
    chosen = inputs.hold_out(fraction, seed, limits)
    assert len(chosen) == len(texts)
    return {texts[number] for number in numpy.flatnonzero(chosen)}


def test_whatever_the_order_the_same_rows_are_held_out_and_nothing_like_them_is_left() -> None:
    source = random.Random(3)
    texts = [words(12, seed) for seed in range(200)]
    families = {text: {text} for text in texts}
    for text in texts[:60]:
        for number in range(source.randrange(1, 4)):
            families[text].add(f"{text}{'!?.'[number]}")
    rows = [*texts, *(near for family in families.values() for near in family), *texts[:20]]
    found = held_out(rows, 0.2)
    for seed in range(3):
        random.Random(seed).shuffle(rows)
        assert held_out(rows, 0.2) == found
    for family in families.values():
        assert family <= found or not family & found
    missing = round(0.2 * len(rows)) - sum(row in found for row in rows)
    assert 0 <= missing < max(map(len, families.values()))


def test_another_seed_holds_others_out() -> None:
    texts = [words(12, seed) for seed in range(100)]
    one, other = (held_out(texts, 0.2, seed) for seed in (0, 1))
    assert len(one) == len(other) == 20
    assert one != other


def test_closed_names_hold_out_what_their_documentation_advises() -> None:
    texts = [words(4, seed) for seed in range(1000)]
    assert len(held_out(texts, 0.5, limits=PUBLISHED)) == 250


@pytest.mark.parametrize(
    ("rows", "fraction", "what"),
    [
        (50, 0.1, r"0\.1 of 50 examples are 5: too few .* Give evaluation_fraction=0\.2 or more"),
        (12, 0.5, r"0\.5 of 12 examples are 6: too few .* Give evaluation_data_uri, or more"),
        (0, 0.1, r"0\.1 of 0 examples are 0: too few"),
    ],
)
def test_too_few_to_evaluate_on_says_what_to_do(rows: int, fraction: float, what: str) -> None:
    with pytest.raises(UserError, match=what):
        held_out([words(12, seed) for seed in range(rows)], fraction)


def test_too_much_that_is_alike_says_what_to_do() -> None:
    with pytest.raises(UserError, match=r"of the 100 examples are nearly the same, .* only 0 can"):
        held_out([words(12, 1)] * 100, 0.2)
