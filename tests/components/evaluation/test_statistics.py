from __future__ import annotations

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF
from scipy import stats

from kfp_llm_tuning.components.evaluation import statistics
from kfp_llm_tuning.components.evaluation.statistics import (
    bootstrap_interval,
    paired_p_value,
    sacrebleu_interval_and_p_value,
)


def test_interval_of_a_mean_is_about_two_standard_errors():
    values = np.random.default_rng(1).normal(5, 2, size=400)
    interval = bootstrap_interval(values)
    error = values.std() / 20
    assert interval.low == pytest.approx(values.mean() - 1.96 * error, abs=0.2 * error)
    assert interval.high == pytest.approx(values.mean() + 1.96 * error, abs=0.2 * error)
    assert bootstrap_interval(values) == interval


def test_interval_covers_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(2)
    samples = generator.normal(0, 1, size=(200, 60))
    intervals = [bootstrap_interval(sample) for sample in samples]
    covered = sum(interval.low <= 0 <= interval.high for interval in intervals)
    assert 180 <= covered <= 198


def test_interval_of_a_ratio_weighs_by_tokens():
    losses = np.array([1.0, 100.0])
    tokens = np.array([1.0, 100.0])
    interval = bootstrap_interval(losses, tokens)
    assert (interval.low, interval.high) == (1.0, 1.0)


def test_equal_values_have_an_interval_of_no_width():
    interval = bootstrap_interval(np.ones(5))
    assert (interval.low, interval.high) == (1.0, 1.0)


def test_memory_is_bounded_without_changing_the_result(monkeypatch):
    values = np.random.default_rng(3).normal(size=50)
    expected = bootstrap_interval(values)
    monkeypatch.setattr(statistics, "_CELLS_AT_ONCE", 500)
    assert bootstrap_interval(values) == expected


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


def test_corpus_values_of_equal_systems_do_not_differ():
    assert sacrebleu_interval_and_p_value("bleu", ["a b"], ["a"], ["a"])[2] == 1.0
