"""Sketches of texts, against the exact answer."""

from __future__ import annotations

import pytest

from kfp_llm_tuning.components.data.similarity.sketches import (
    likeness,
    sketch,
)
from tests.components.data.similarity.texts import exact_likeness, words


def test_short_texts_have_no_pieces() -> None:
    assert len(sketch("abcd").hashes) == 0
    assert likeness(sketch(""), sketch("abc")) == 0.0


def test_likeness_of_short_texts_is_exact() -> None:
    first = words(30, 1)
    second = first[: len(first) // 2] + words(10, 2)
    assert likeness(sketch(first), sketch(second)) == exact_likeness(first, second)


@pytest.mark.parametrize("changed", [0.0, 0.1, 0.3, 1.0])
def test_likeness_of_long_texts_is_estimated_well(changed: float) -> None:
    parts = [words(10, seed) for seed in range(300)]
    others = parts[: round(300 * (1 - changed))] + [
        words(10, seed + 1000) for seed in range(round(300 * changed))
    ]
    first, second = " ".join(parts), " ".join(others)
    # Four standard errors of a share among 512.
    assert likeness(sketch(first), sketch(second)) == pytest.approx(
        exact_likeness(first, second), abs=0.09
    )
