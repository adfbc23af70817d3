from __future__ import annotations

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF
from scipy import stats

from kfp_llm_tuning.components.evaluation import statistics
from kfp_llm_tuning.components.evaluation.statistics import (
    Interval,
    mean_interval,
    paired_p_value,
    ratio_interval,
    sacrebleu_interval_and_p_value,
    wilson_interval,
)


def test_right_or_wrong_gets_wilsons_interval():
    values = np.array([1.0] * 7 + [0.0] * 3)
    expected = stats.binomtest(7, 10).proportion_ci(method="wilson")
    assert mean_interval(values) == Interval(
        pytest.approx(expected.low), pytest.approx(expected.high)
    )


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_equal_values_of_a_few_examples_are_not_certain(value):
    interval = mean_interval(np.full(10, value))
    assert interval == wilson_interval(value, 10)
    assert (interval.low == 0, interval.high == 1) == (value == 0, value == 1)
    assert interval.high - interval.low > 0.25


def test_a_mean_of_few_examples_gets_scipys_bca_interval():
    values = np.random.default_rng(1).beta(4, 1, size=40)
    expected = stats.bootstrap((values,), np.mean, n_resamples=20_000, rng=1).confidence_interval
    interval = mean_interval(values)
    width = expected.high - expected.low
    assert interval.low == pytest.approx(expected.low, abs=0.05 * width)
    assert interval.high == pytest.approx(expected.high, abs=0.05 * width)
    assert mean_interval(values) == interval


def test_an_interval_of_many_examples_is_about_two_standard_errors():
    losses = np.random.default_rng(1).normal(5, 2, size=400)
    interval = ratio_interval(losses, np.ones(400))
    error = losses.std() / 20
    assert interval.low == pytest.approx(losses.mean() - 1.96 * error, abs=0.2 * error)
    assert interval.high == pytest.approx(losses.mean() + 1.96 * error, abs=0.2 * error)


def test_interval_of_a_ratio_weighs_by_tokens():
    interval = ratio_interval(np.array([1.0, 100.0]), np.array([1.0, 100.0]))
    assert (interval.low, interval.high) == (1.0, 1.0)


@pytest.mark.parametrize("examples", [1, 2, 3, 10])
def test_intervals_of_very_few_examples_stay_in_range(examples):
    for seed in range(20):
        generator = np.random.default_rng(seed)
        shares = generator.choice([0.0, 0.4, 1.0], size=examples)
        losses = generator.lognormal(size=examples)
        interval = mean_interval(shares)
        assert 0 <= interval.low <= interval.high <= 1
        loss = ratio_interval(losses, np.ones(examples))
        assert 0 <= loss.low <= loss.high < np.inf


def test_memory_is_bounded_without_changing_the_result(monkeypatch):
    values = np.random.default_rng(3).random(size=50)
    expected = mean_interval(values)
    monkeypatch.setattr(statistics, "_CELLS_AT_ONCE", 500)
    assert mean_interval(values) == expected


def test_right_or_wrong_is_tested_by_mcnemar():
    first = np.array([0.0] * 10 + [1.0] * 3 + [1.0] * 20)
    second = np.array([1.0] * 10 + [0.0] * 3 + [1.0] * 20)
    assert paired_p_value(first, second) == stats.binomtest(10, 13).pvalue


def test_other_values_are_tested_by_randomisation():
    generator = np.random.default_rng(4)
    first = generator.normal(size=12)
    second = first + generator.normal(0.4, 1, size=12)
    exact = stats.permutation_test(
        (first, second), lambda a, b, axis: (b - a).mean(axis=axis), permutation_type="samples",
        vectorized=True, n_resamples=np.inf,
    )  # fmt: skip
    assert paired_p_value(first, second) == pytest.approx(exact.pvalue, abs=0.015)


def test_no_difference_has_probability_one():
    values = np.array([0.3, 0.7])
    assert paired_p_value(values, values) == 1.0


def test_a_large_difference_is_never_called_impossible():
    p_value = paired_p_value(np.zeros(40), np.full(40, 0.5))
    assert 0 < p_value < 0.001


@pytest.mark.parametrize(("name", "metric"), [("bleu", BLEU), ("chrf", CHRF)])
def test_corpus_values_equal_sacrebleus(name, metric):
    references = [f"the cat number {n} sat on the mat" for n in range(30)]
    first = ["no idea at all about this"] * 30
    second = [text.replace("mat", "hat") for text in references]
    one, two, p_value = sacrebleu_interval_and_p_value(name, references, first, second)
    assert one.value == metric().corpus_score(first, [references]).score
    assert two.value == metric().corpus_score(second, [references]).score
    assert two.interval.low <= two.value + 1e-4
    assert two.interval.high >= two.value - 1e-4
    assert p_value < 0.01


@pytest.mark.parametrize("name", ["bleu", "chrf"])
def test_corpus_intervals_stay_in_range(name):
    references = [f"the cat number {n} sat on the mat" for n in range(12)]
    nearly = [*references[:-1], "no idea at all"]
    one, two, _ = sacrebleu_interval_and_p_value(name, references, nearly, references)
    assert 0 < one.interval.low < one.value < one.interval.high <= 100
    assert two.interval.low < two.value <= two.interval.high <= 100


def test_corpus_values_of_equal_systems_do_not_differ():
    assert sacrebleu_interval_and_p_value("bleu", ["a b"], ["a"], ["a"])[2] == 1.0
