"""The search for near duplicates, against comparing all with all."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy
import pytest

from kfp_llm_tuning.components.data.similarity import near_duplicates
from kfp_llm_tuning.components.data.similarity.inputs import digest
from kfp_llm_tuning.components.data.similarity.near_duplicates import NearDuplicates, NearPair
from kfp_llm_tuning.components.data.similarity.sketches import (
    ALIKE,
    Sketch,
    common_pieces,
    likeness,
    sketch,
)
from tests.components.data.similarity.texts import exact_likeness, words


def near_pairs(sketches: Sequence[Sketch]) -> list[NearPair]:
    """The pairs, where no text is the same as another and they are read in their order."""
    return [*NearDuplicates(sketches, numpy.arange(len(sketches), dtype=numpy.uint64)).pairs()]


def test_groups_do_not_depend_on_the_order_of_the_texts() -> None:
    texts = [words(12, seed) for seed in range(40)]
    texts += [text + "!" for text in texts[:15]] + texts[:5]
    expected: dict[str, str] = {}
    for seed in range(3):
        random.Random(seed).shuffle(texts)
        keys = numpy.array([digest(text) for text in texts], numpy.uint64)
        groups = NearDuplicates([sketch(text) for text in texts], keys).groups
        found = {text: texts[group] for text, group in zip(texts, groups, strict=True)}
        assert (expected := expected or found) == found
    assert len(set(expected.values())) == 40


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
    found = near_pairs(sketches)
    assert {pair.second for pair in found} == expected
    assert len(expected) > 10
    for pair in found:
        assert pair.likeness == exact_likeness(texts[pair.first], texts[pair.second])


def test_what_all_texts_share_is_left_out() -> None:
    instruction = "classify the following text into one of these classes: " + words(20, 9)
    texts = [f"{instruction} text: {words(6, seed)}" for seed in range(50)]
    assert exact_likeness(texts[0], texts[1]) > 0.5
    assert near_pairs([sketch(text) for text in texts]) == []
    near = near_pairs([sketch(text) for text in [*texts, texts[7] + "!"]])
    assert [(pair.first, pair.second) for pair in near] == [(7, 50)]


def test_no_texts() -> None:
    assert near_pairs([]) == []


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

    monkeypatch.setattr(near_duplicates, "likeness", counted)
    monkeypatch.setattr(near_duplicates, "_MOST_COMPARED", 8)
    monkeypatch.setattr(near_duplicates, "_MOST_IN_BUCKET", 8)
    assert near_pairs(sketches) == []
    assert max(compared) < ALIKE
    assert texts < len(compared) <= 8 * texts
