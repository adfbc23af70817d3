from __future__ import annotations

import math

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.gate_metrics import GATE_METRICS
from kfp_llm_tuning.components.evaluation.artifacts import PredictionInfo, PredictionSet
from kfp_llm_tuning.components.evaluation.comparison import MetricComparison, compare
from kfp_llm_tuning.components.evaluation.statistics import Interval, wilson_interval

LABELS = ["no", "yes"]
NARROW = Interval(0.0, 0.0)
REFERENCES = ["yes", "no", "yes", "no"] * 5


@pytest.fixture
def classified(make_predictions):
    base = make_predictions(["no"] * 20, REFERENCES, labels=LABELS)
    tuned = make_predictions(REFERENCES, REFERENCES, labels=LABELS, log_likelihood=-1.0)
    return base, tuned


def test_classification_has_every_metric(classified):
    found = compare(*classified, "", 0.0)
    metrics = {metric.name: metric for metric in found.metrics}
    assert list(GATE_METRICS) == list(metrics)
    assert found.task == "classification"
    assert (metrics["accuracy"].base, metrics["accuracy"].tuned) == (0.5, 1.0)
    assert (metrics["exact_match"].base, metrics["exact_match"].tuned) == (0.5, 1.0)
    assert metrics["exact_match"].p_value == pytest.approx(2 * 0.5**10)
    assert metrics["exact_match"].verdict == "better"
    assert metrics["logLoss"].tuned == pytest.approx(-math.log(0.8))
    assert metrics["auRoc"].tuned == 1.0
    # All right, of twenty only: less than certain.
    assert metrics["macro_f1"].tuned_interval == wilson_interval(1.0, 20)
    assert metrics["macro_f1"].verdict == "better"


def test_log_loss_of_the_test_is_that_of_the_metric(classified):
    found = compare(*classified, "", 0.0)
    metrics = {metric.name: metric for metric in found.metrics}
    assert metrics["logLoss"].base == pytest.approx(found.base.classification.log_loss)
    assert metrics["accuracy"].base == found.base.classification.accuracy


def test_loss_is_the_mean_over_tokens(make_predictions):
    # Log-likelihoods -2 and -4; 2 and 5 tokens with their ends.
    base = make_predictions(["x", "y"], ["a", "bcde"])
    found = compare(base, base, "", 0.0)
    metrics = {metric.name: metric for metric in found.metrics}
    assert metrics["loss"].tuned == pytest.approx(6 / 7)
    assert metrics["perplexity"].tuned == pytest.approx(math.exp(6 / 7))
    assert metrics["loss"].verdict == "equal"
    assert found.task == "generation"
    assert "accuracy" not in metrics


def test_a_loss_beyond_floats_is_infinite_perplexity(make_predictions):
    base = make_predictions(["x"], [""], log_likelihood=-1000.0)
    metrics = {metric.name: metric for metric in compare(base, base, "", 0.0).metrics}
    assert metrics["perplexity"].tuned == math.inf


def test_the_gate_judges_the_tuned_model(classified):
    assert compare(*classified, "accuracy", 0.9).gate.passed
    base, tuned = classified
    assert not compare(tuned, base, "accuracy", 0.9).gate.passed


def test_without_an_evaluation_set():
    empty = PredictionSet(PredictionInfo())
    found = compare(empty, empty, "bleu", 1.0)
    assert (found.examples, found.metrics, found.gate.passed) == (0, [], False)
    assert compare(empty, empty, "", 0.0).gate.passed
    with pytest.raises(UserError):
        compare(empty, empty, "blue", 0.0)


def test_predictions_of_different_sets_are_refused(make_predictions):
    base = make_predictions(["x"], ["a"])
    tuned = make_predictions(["x", "y"], ["a", "b"])
    with pytest.raises(UserError, match="different evaluation sets"):
        compare(base, tuned, "", 0.0)


def test_answers_that_are_no_label_and_empty_ones_are_counted(make_predictions):
    base = make_predictions(["no", "never", " ", "yes\n"], REFERENCES[:4], labels=LABELS)
    found = compare(base, base, "", 0.0)
    assert (found.base.outside_labels, found.base.empty) == (2, 1)


@pytest.mark.parametrize(
    ("name", "base", "tuned", "p_value", "expected"),
    [
        ("bleu", 1.0, 2.0, 0.01, "better"),
        ("bleu", 2.0, 1.0, 0.01, "worse"),
        ("bleu", 1.0, 2.0, 0.05, "no clear difference"),
        ("loss", 1.0, 2.0, 0.01, "worse"),
        ("loss", 2.0, 1.0, 0.01, "better"),
        ("auPrc", 0.5, 0.6, 0.01, "better"),
        ("logLoss", 0.5, 0.6, 0.01, "worse"),
        ("bleu", 1.0, 1.0, 1.0, "equal"),
    ],
)
def test_verdict(name, base, tuned, p_value, expected):
    assert MetricComparison(name, base, tuned, NARROW, NARROW, p_value).verdict == expected


def test_rows_hold_both_answers(classified):
    rows = compare(*classified, "", 0.0).rows
    assert [row.line for row in rows] == list(range(1, 21))
    assert (rows[0].base, rows[0].tuned, rows[0].base_score, rows[0].tuned_score) == (
        "no",
        "yes",
        0.0,
        1.0,
    )
