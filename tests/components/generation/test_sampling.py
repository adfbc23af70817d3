"""Chosen tokens against a plain reading of the settings, one row and one token at a time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kfp_llm_tuning.components.generation import sampling
from kfp_llm_tuning.components.generation.engine import Sampling, TokenLogprobs
from kfp_llm_tuning.components.generation.sampling import RowSampling, choose

VOCABULARY = 12

logits_lists = st.lists(
    # Apart, so that no rounding decides which is likelier.
    st.integers(-60, 60).map(lambda number: number / 8),
    min_size=VOCABULARY,
    max_size=VOCABULARY,
    unique=True,
)


def reference(logits: Sequence[float], asked: Sampling) -> dict[int, float]:
    """The probability of every token that may be chosen."""
    order = sorted(range(len(logits)), key=lambda token: -logits[token])
    if asked.temperature == 0:
        return {order[0]: 1.0}
    best = logits[order[0]]
    weights = {
        token: math.exp((logits[token] - best) / asked.temperature)
        for token in order[: asked.top_k or len(order)]
    }
    total = sum(weights.values())
    left: dict[int, float] = {}
    for token, weight in weights.items():
        if left and sum(left.values()) >= asked.top_p * (1 - 1e-12):
            break
        left[token] = weight / total
    return {token: share / sum(left.values()) for token, share in left.items()}


def choose_one(logits: Sequence[float], asked: Sampling, written: Sequence[int] = ()) -> int:
    row = RowSampling(asked)
    for token in written:
        row.note(token)
    return choose(torch.tensor([logits]), [row])[0][0]


def frequencies(logits: Sequence[float], asked: Sampling, draws: int = 4000) -> dict[int, float]:
    row = RowSampling(asked)
    drawn = Counter(
        token
        for _ in range(4)
        for token in choose(torch.tensor([logits] * (draws // 4)), [row] * (draws // 4))[0]
    )
    return {token: count / draws for token, count in drawn.items()}


@pytest.mark.parametrize(
    "asked",
    [
        Sampling(temperature=1.0),
        Sampling(temperature=0.5),
        Sampling(temperature=1.0, top_k=3),
        Sampling(temperature=1.0, top_p=0.7),
        Sampling(temperature=1.0, top_p=0.8, top_k=4),
        Sampling(temperature=2.0, top_p=0.999, top_k=400),
    ],
)
def test_tokens_come_as_often_as_they_are_likely(asked: Sampling) -> None:
    logits = [0.3, 2.0, -1.0, 1.5, 0.0, 1.0, -2.0, 0.7]
    asked = Sampling(asked.temperature, asked.top_p, asked.top_k, seed=4)
    expected, found = reference(logits, asked), frequencies(logits, asked)
    assert set(found) <= set(expected)
    for token, share in expected.items():
        assert abs(found.get(token, 0.0) - share) < 4 * math.sqrt(share * (1 - share) / 4000) + 1e-9


@settings(deadline=None)
@given(
    logits_lists,
    st.floats(0.1, 4),
    st.integers(0, VOCABULARY + 3),
    st.floats(0.01, 1),
    st.integers(0, 99),
)
def test_only_what_top_k_and_top_p_leave_is_chosen(logits, temperature, top_k, top_p, seed):
    asked = Sampling(temperature, top_p, top_k, seed)
    assert choose_one(logits, asked) in reference(logits, asked)


@pytest.mark.parametrize("narrow", [2, VOCABULARY])
@pytest.mark.parametrize(
    "asked", [Sampling(1.0, 0.9), Sampling(1.0, 1.0, 7), Sampling(1.0, 0.6, 9)]
)
def test_a_nucleus_beyond_the_likeliest_is_found(narrow, asked, monkeypatch):
    monkeypatch.setattr(sampling, "_LIKELIEST", narrow)
    logits = [number / 16 for number in range(VOCABULARY)]
    asked = Sampling(asked.temperature, asked.top_p, asked.top_k, seed=1)
    assert set(frequencies(logits, asked)) == set(reference(logits, asked))


@settings(deadline=None)
@given(logits_lists, st.floats(0.0, 3))
def test_what_leaves_one_token_takes_the_likeliest(logits, temperature):
    best = max(range(VOCABULARY), key=lambda token: logits[token])
    for asked in (
        Sampling(),
        Sampling(temperature, top_k=1),
        Sampling(temperature, top_p=1e-9),
        Sampling(temperature=1e-30),
        Sampling(top_k=5, top_p=0.5),
    ):
        assert choose_one(logits, asked) == best


def test_the_first_of_equal_logits_is_taken():
    assert choose_one([1.0, 3.0, 3.0], Sampling()) == 1
    assert choose_one([1.0, 3.0, 3.0], Sampling(logprobs=1)) == 1


@settings(deadline=None)
@given(
    logits_lists,
    st.lists(st.integers(0, VOCABULARY - 1), max_size=20),
    st.integers(-8, 8).map(lambda number: number / 4),
    st.integers(-8, 8).map(lambda number: number / 4),
    st.dictionaries(st.integers(0, VOCABULARY - 1), st.integers(-100, 100).map(float)),
)
def test_penalties_and_bias_are_added(logits, written, presence, frequency, bias):
    counts = Counter(written)
    expected = np.array(
        [
            logit - presence * (counts[token] > 0) - frequency * counts[token] + bias.get(token, 0)
            for token, logit in enumerate(logits)
        ]
    )
    asked = Sampling(presence_penalty=presence, frequency_penalty=frequency, logit_bias=bias)
    assert choose_one(logits, asked, written) == int(expected.argmax())
    drawn = Sampling(
        1.0, 1.0, 3, 5, presence_penalty=presence, frequency_penalty=frequency, logit_bias=bias
    )
    third = np.sort(expected)[-3]
    assert expected[choose_one(logits, drawn, written)] >= third


def test_logprobs_are_the_models_own():
    logits = torch.tensor([[0.5, 2.0, 1.0, -1.0]] * 4)
    expected = logits[0].double().log_softmax(dim=-1)
    rows = [
        Sampling(logprobs=2),
        Sampling(temperature=0.3, top_k=1, logprobs=0),
        Sampling(logit_bias={3: 100.0}, logprobs=99),
        Sampling(),
    ]
    tokens, told = choose(logits, [RowSampling(row) for row in rows])
    assert tokens == [1, 1, 3, 1]
    assert told[3] is None
    for number, likeliest in enumerate([[1, 2], [], [1, 2, 0, 3]]):
        each = told[number]
        assert isinstance(each, TokenLogprobs)
        assert each.chosen == pytest.approx(float(expected[tokens[number]]), abs=1e-6)
        assert [token for token, _ in each.likeliest] == likeliest
        for token, logprob in each.likeliest:
            assert logprob == pytest.approx(float(expected[token]), abs=1e-6)


def test_a_seed_repeats_whatever_the_neighbours():
    generator = torch.Generator().manual_seed(0)
    steps = torch.randn(30, 4, 50, generator=generator)

    def write(asked: Sampling, neighbours: Sequence[Sampling]) -> list[int]:
        row, others = RowSampling(asked), [RowSampling(each) for each in neighbours]
        written = []
        for step in steps:
            logits = torch.cat([step[1 : 1 + len(others)], step[:1]])
            written.append(choose(logits, [*others, row])[0][-1])
            row.note(written[-1])
        return written

    asked = Sampling(1.0, 0.9, 20, seed=7, frequency_penalty=0.5)
    alone = write(asked, [])
    assert alone == write(asked, [Sampling(1.0, seed=1), Sampling(), Sampling(0.5, 0.1)])
    assert alone != write(Sampling(1.0, 0.9, 20, seed=8, frequency_penalty=0.5), [])
    unseeded = Sampling(1.0)
    assert write(unseeded, []) != write(unseeded, [])


def test_the_last_token_of_any_weight_is_the_last_that_is_drawn():
    weights = torch.tensor([[0.25, 0.5, 0.25, 0.0]])
    draws = {0.0: 0, 0.2499: 0, 0.25: 1, 0.7499: 1, 0.75: 2, 1.0: 2}
    for draw, place in draws.items():
        assert int(sampling._pick(weights, torch.tensor([[draw]], dtype=torch.float64))) == place
