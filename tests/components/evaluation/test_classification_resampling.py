from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from kfp_llm_tuning.components.evaluation.classification_resampling import (
    WeightedClassification,
    bootstrap_intervals,
    paired_p_values,
)
from kfp_llm_tuning.components.evaluation.statistics import wilson_interval

LABELS = 5


@pytest.fixture
def truth():
    return np.random.default_rng(1).integers(LABELS, size=120)


def probabilities(truth, skill, seed=2, decimals=2):
    """Makes scores that are the better the greater the skill; rounding makes many of them equal."""
    generator = np.random.default_rng(seed)
    scores = generator.random((len(truth), LABELS)).round(decimals)
    scores[np.arange(len(truth)), truth] += skill
    return scores / scores.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(5))
def test_metrics_are_those_of_scikit_learn(truth, seed):
    scores = probabilities(truth, 0.3, seed, decimals=1)
    weights = np.random.default_rng(seed + 10).integers(0, 4, size=len(truth)).astype(float)
    is_truth = (truth[:, None] == np.arange(LABELS)).ravel()
    each = np.repeat(weights, LABELS)
    expected = [
        metrics.f1_score(truth, scores.argmax(axis=1), average="macro", sample_weight=weights),
        metrics.average_precision_score(is_truth, scores.ravel(), sample_weight=each),
        metrics.roc_auc_score(is_truth, scores.ravel(), sample_weight=each),
    ]
    found = WeightedClassification(truth, scores).measure(weights)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_intervals_hold_the_value_and_are_the_same_every_time(truth):
    scores = probabilities(truth, 0.4)
    values = WeightedClassification(truth, scores).measure(np.ones(len(truth)))
    intervals = bootstrap_intervals(truth, scores)
    for value, interval in zip(values, intervals, strict=True):
        assert interval.low < value < interval.high
        assert interval.high - interval.low < 0.3
    assert bootstrap_intervals(truth, scores) == intervals


def test_a_label_that_a_resample_lacks_does_no_harm():
    truth = np.array([0, 0, 0, 0, 1])
    scores = np.array([[0.9, 0.1]] * 4 + [[0.2, 0.8]])
    assert bootstrap_intervals(truth, scores) == [wilson_interval(1.0, 5)] * 3


def test_equal_models_do_not_differ(truth):
    scores = probabilities(truth, 0.4)
    assert paired_p_values(truth, scores, scores) == [1.0] * 3


def test_a_clear_difference_is_found(truth):
    weak, strong = probabilities(truth, 0.1), probabilities(truth, 0.9, seed=3)
    assert max(paired_p_values(truth, weak, strong)) < 0.01


def test_chance_is_no_difference():
    generator = np.random.default_rng(5)
    found = []
    for seed in range(10):
        truth = generator.integers(LABELS, size=60)
        pair = (probabilities(truth, 0.3, 2 * seed + n) for n in (0, 1))
        found.append(paired_p_values(truth, *pair))
    share = (np.array(found) < 0.05).mean(axis=0)
    assert (share <= 0.3).all()
