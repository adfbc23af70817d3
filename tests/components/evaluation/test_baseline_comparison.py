"""Baselines in every kind of metric, against values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from kfp_llm_tuning.components.evaluation.baseline_comparison import (
    Baseline,
    Scale,
    best_of,
    fits_text,
    measure_baselines,
)
from kfp_llm_tuning.components.evaluation.training_sample import TrainingSample

REFERENCES = ["yes", "no", "yes", "yes"]
# The majority is "yes"; no question is like these.
TRAINING = TrainingSample(("unlike", "others", "here"), ("yes", "yes", "no"))


@pytest.fixture
def measured(make_predictions):
    """The majority answer in a metric."""
    tuned = make_predictions(["yes", "no", "no", "yes"], REFERENCES, labels=["no", "yes"])

    def measure(metric, values=(1.0, 1.0, 0.0, 1.0), own=None):
        scale = Scale(metric, 0.75, np.array(values) if values else None, own)
        by_name = {each.name: each for each in measure_baselines(scale, tuned, TRAINING)}
        assert set(by_name) == {"majority_answer", "copied_input", "nearest_example"}
        return by_name["majority_answer"]

    return measure


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("exact_match", 3 / 4),
        ("token_f1", 3 / 4),
        ("rougeL", 3 / 4),
        ("accuracy", 3 / 4),
        # F1 of yes: precision 3/4, recall 1; of no: 0.
        ("macro_f1", (6 / 7 + 0) / 2),
    ],
)
def test_the_majority_answer(measured, metric, value):
    assert measured(metric).value == pytest.approx(value)


def test_the_test_is_paired_by_examples(measured):
    # One example only the tuned model has right, one only the baseline: McNemar's test of 1 and 1.
    assert measured("exact_match").p_value == 1.0


def test_a_metric_of_the_whole_set(measured):
    from sacrebleu.metrics import CHRF

    expected = CHRF().corpus_score(["yes"] * 4, [REFERENCES]).score
    assert measured("chrf", values=None).value == pytest.approx(expected)


def test_a_metric_of_the_users_own(measured):
    class Own:
        def values(self, references, predictions, prompts):
            assert prompts[0] == "Question 1"
            return np.array([float(len(text)) for text in predictions])

    assert measured("length", own=Own()).value == 3.0


@pytest.mark.parametrize(
    ("tuned", "p_value", "verdict"),
    [
        (0.6, 0.01, "above"),
        (0.6, 0.2, "not clearly above"),
        (0.5, 0.01, "not above"),
        (0.4, 1.0, "not above"),
    ],
)
def test_verdict(tuned, p_value, verdict):
    assert Baseline("majority_answer", 0.5, tuned, p_value).verdict == verdict


def test_the_best_of_them():
    baselines = [Baseline("majority_answer", 0.1, 1, 1), Baseline("copied_input", 0.2, 1, 1)]
    assert best_of(baselines) is baselines[1]
    assert best_of([]) is None


def test_likelihoods_are_no_metrics_of_texts():
    assert [name for name in ("loss", "auPrc", "logLoss", "chrf") if fits_text(name)] == ["chrf"]
