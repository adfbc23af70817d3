from __future__ import annotations

import dataclasses
import math
import sys

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.metrics import METRICS
from kfp_llm_tuning.components.evaluation.artifacts import PredictionInfo, PredictionSet
from kfp_llm_tuning.components.evaluation.comparison import Criteria, compare
from kfp_llm_tuning.components.evaluation.gate import Gate
from kfp_llm_tuning.components.evaluation.headline import headline
from kfp_llm_tuning.components.evaluation.metric_comparison import MetricComparison
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
    found = compare(*classified)
    metrics = {metric.name: metric for metric in found.metrics}
    # The one that decides is the first.
    assert list(metrics) == ["exact_match", *(name for name in METRICS if name != "exact_match")]
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
    found = compare(*classified)
    metrics = {metric.name: metric for metric in found.metrics}
    assert metrics["logLoss"].base == pytest.approx(found.base.classification.log_loss)
    assert metrics["accuracy"].base == found.base.classification.accuracy


def test_loss_is_the_mean_over_tokens(make_predictions):
    # Log-likelihoods -2 and -4; 2 and 5 tokens with their ends.
    base = make_predictions(["x", "y"], ["a", "bcde"])
    found = compare(base, base)
    metrics = {metric.name: metric for metric in found.metrics}
    assert metrics["loss"].tuned == pytest.approx(6 / 7)
    assert metrics["perplexity"].tuned == pytest.approx(math.exp(6 / 7))
    assert metrics["loss"].verdict == "equal"
    assert found.task == "generation"
    assert "accuracy" not in metrics


def test_a_loss_beyond_floats_is_infinite_perplexity(make_predictions):
    base = make_predictions(["x"], [""], log_likelihood=-1000.0)
    metrics = {metric.name: metric for metric in compare(base, base).metrics}
    assert metrics["perplexity"].tuned == math.inf


def test_the_gate_judges_the_tuned_model(classified):
    assert compare(*classified, Criteria(gate=Gate("accuracy", 0.9))).gate.passed
    base, tuned = classified
    assert not compare(tuned, base, Criteria(gate=Gate("accuracy", 0.9))).gate.passed


def test_without_an_evaluation_set():
    empty = PredictionSet(PredictionInfo())
    found = compare(empty, empty, Criteria(gate=Gate("bleu", 1.0)))
    assert (found.examples, found.metrics, found.gate.passed) == (0, [], False)
    assert compare(empty, empty).gate.passed
    with pytest.raises(UserError):
        compare(empty, empty, Criteria(gate=Gate("blue", 0.0)))


def test_predictions_of_different_sets_are_refused(make_predictions):
    base = make_predictions(["x"], ["a"])
    tuned = make_predictions(["x", "y"], ["a", "b"])
    with pytest.raises(UserError, match="different evaluation sets"):
        compare(base, tuned)


def test_answers_that_are_no_label_and_empty_ones_are_counted(make_predictions):
    base = make_predictions(["no", "never", " ", "yes\n"], REFERENCES[:4], labels=LABELS)
    found = compare(base, base)
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
    rows = compare(*classified).rows
    assert [row.line for row in rows] == list(range(1, 21))
    assert (rows[0].base, rows[0].tuned, rows[0].base_score, rows[0].tuned_score) == (
        "no",
        "yes",
        0.0,
        1.0,
    )


def test_the_task_chooses_the_primary_metric_unless_the_user_does(classified):
    assert compare(*classified).primary.name == "exact_match"
    found = compare(*classified, Criteria("macro_f1", Gate("primary", 0.9)))
    assert [metric.name for metric in found.metrics][:2] == ["macro_f1", "exact_match"]
    assert "macro_f1 >= 0.9" in found.gate.reason
    with pytest.raises(UserError, match=r"primary_metric.*'exact_mach'.*Did you mean exact_match"):
        compare(*classified, Criteria("exact_mach"))


def test_a_primary_metric_without_a_value_is_the_users_mistake(make_predictions):
    base = make_predictions(["x"], ["a"])
    with pytest.raises(UserError, match="accuracy has a value for classification only"):
        compare(base, base, Criteria("accuracy"))


def test_where_only_a_model_has_a_value_the_baselines_are_measured_in_the_tasks_metric(
    classified, preprocess
):
    training = preprocess("train", [("Say yes", "yes")] * 3)
    found = compare(*classified, Criteria("loss"), training)
    assert (found.primary.name, found.baseline_metric) == ("loss", "exact_match")
    assert {each.name: each.value for each in found.baselines}["majority_answer"] == 0.5
    assert headline(found).endswith(", less is better).")


OWN = """
def number(reference, prediction, prompt):
    return -abs(float(reference) - float(prediction)) - prompt.count("9")

def exact_match(reference, prediction):
    return reference == prediction
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "scores_of_mine.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "scores_of_mine", raising=False)
    return "scores_of_mine"


def test_a_metric_of_the_users_own_decides(own, make_predictions):
    references = ["1", "2", "3"]
    base = make_predictions(["5", "5", "5"], references)
    tuned = make_predictions(["1", "2", "4"], references)
    found = compare(base, tuned, Criteria(f"{own}:number", Gate("primary", -0.4)))
    primary = found.primary
    assert (primary.name, primary.base) == ("number", -3.0)
    assert primary.tuned == pytest.approx(-1 / 3)
    assert primary.tuned_interval.low < primary.tuned < primary.tuned_interval.high <= 0
    assert found.gate.passed
    assert [row.tuned_score for row in found.rows] == [0.0, 0.0, -1.0]
    # The questions are no numbers: what fails on the baselines is told, and no more.
    assert "baselines could not be measured" in found.failures[0]
    # One called as a metric of ours is told from it.
    named = compare(tuned, tuned, Criteria(f"{own}:exact_match"))
    assert named.primary.name == "scores_of_mine.exact_match"


def test_a_metric_of_the_users_own_that_fails(own, make_predictions):
    tuned = make_predictions(["one"], ["1"])
    criteria = Criteria(f"{own}:number")
    with pytest.raises(UserError, match=r"number raised ValueError for the reference '1'"):
        compare(tuned, tuned, criteria)
    found = compare(tuned, tuned, criteria, continue_on_failure=True)
    assert found.primary.name == "token_f1"
    assert "number raised ValueError" in found.failures[0]
    gated = dataclasses.replace(criteria, gate=Gate("primary", 1.0))
    with pytest.raises(UserError):
        compare(tuned, tuned, gated, continue_on_failure=True)


def test_a_metric_of_the_whole_set_shows_single_answers_in_another(classified):
    assert compare(*classified, Criteria("chrf")).rows[0].score_name == "exact_match"
