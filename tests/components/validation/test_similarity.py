"""Near duplicates: sketches and the join, against the exact answer."""

from __future__ import annotations

import random

import pytest

from kfp_llm_tuning.components.validation import similarity
from kfp_llm_tuning.components.validation.similarity import (
    ALIKE,
    PIECE_BYTES,
    Sketch,
    common_pieces,
    find_near_pairs,
    likeness,
    sketch,
)


def words(count: int, seed: int) -> str:
    source = random.Random(seed)
    return " ".join(f"{source.randrange(10**6):x}" for _ in range(count))


def exact_likeness(first: str, second: str) -> float:
    """The Jaccard index of two texts' pieces, by definition."""
    one, other = (
        {text[i : i + PIECE_BYTES] for i in range(len(text) - PIECE_BYTES + 1)}
        for text in (first, second)
    )
    return len(one & other) / len(one | other)


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


def test_join_finds_what_comparing_all_finds() -> None:
    texts = [words(12, seed) for seed in range(120)]
    source = random.Random(5)
    for number in range(60):
        changed = list(texts[number])
        for _ in range(source.randrange(1, 6)):
            changed[source.randrange(len(changed))] = "~"
        texts.append("".join(changed))
    sketches = [sketch(text) for text in texts]
    assert len(common_pieces(sketches)) == 0
    expected = {
        later
        for later in range(len(texts))
        for earlier in range(later)
        if exact_likeness(texts[earlier], texts[later]) >= ALIKE
    }
    found = find_near_pairs(sketches)
    assert {pair.second for pair in found} == expected
    assert len(expected) > 10
    for pair in found:
        assert pair.likeness == exact_likeness(texts[pair.first], texts[pair.second])


def test_what_all_texts_share_is_left_out() -> None:
    instruction = "classify the following text into one of these classes: " + words(20, 9)
    texts = [f"{instruction} text: {words(6, seed)}" for seed in range(50)]
    assert exact_likeness(texts[0], texts[1]) > 0.5
    assert find_near_pairs([sketch(text) for text in texts]) == []
    near = find_near_pairs([sketch(text) for text in [*texts, texts[7] + "!"]])
    assert [(pair.first, pair.second) for pair in near] == [(7, 50)]


def test_no_texts() -> None:
    assert find_near_pairs([]) == []


@pytest.mark.parametrize("texts", [100, 400])
def test_comparisons_grow_with_the_texts_not_with_their_square(
    texts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Six templates, each text somewhat like all of its own: no piece stands in a fifth of all.
    sketches = [sketch(f"{words(30, n % 6)} {words(12, 100 + n)}") for n in range(texts)]
    compared: list[float] = []

    def counted(first: Sketch, second: Sketch) -> float:
        compared.append(likeness(first, second))
        return compared[-1]

    monkeypatch.setattr(similarity, "likeness", counted)
    monkeypatch.setattr(similarity, "_MOST_COMPARED", 8)
    monkeypatch.setattr(similarity, "_MOST_IN_BUCKET", 8)
    assert find_near_pairs(sketches) == []
    assert max(compared) < ALIKE
    assert texts < len(compared) <= 8 * texts
