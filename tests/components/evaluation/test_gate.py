from __future__ import annotations

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.metrics import METRICS
from kfp_llm_tuning.components.evaluation.gate import Gate, judge


def test_without_a_metric_everything_passes():
    assert judge(Gate(), {}).passed


@pytest.mark.parametrize(
    ("metric", "threshold", "value", "passed"),
    [
        ("exact_match", 0.7, 0.7, True),
        ("exact_match", 0.7, 0.6999, False),
        ("loss", 1.5, 1.5, True),
        ("loss", 1.5, 1.51, False),
        ("perplexity", 10, 3, True),
        ("bleu", 20, 19, False),
        ("auPrc", 0.8, 0.9, True),
        ("logLoss", 0.5, 0.6, False),
    ],
)
def test_threshold(metric, threshold, value, passed):
    verdict = judge(Gate(metric, threshold), {metric: value})
    assert verdict.passed is passed
    assert f"{threshold:g}" in verdict.reason
    assert ("nothing is registered" in verdict.reason) is not passed


@pytest.mark.parametrize("metric", METRICS)
def test_without_an_evaluation_set_no_metric_passes(metric):
    verdict = judge(Gate(metric), {})
    assert not verdict.passed
    assert "no evaluation set" in verdict.reason


def test_a_metric_without_a_value_does_not_pass():
    assert "classification only" in judge(Gate("accuracy", 0.5), {"bleu": 1.0}).reason
    assert not judge(Gate("loss", 0.5), {"loss": float("nan")}).passed


def test_an_unknown_metric_is_the_users_mistake():
    with pytest.raises(UserError, match=r"gate_metric.*'blue'.*bleu"):
        judge(Gate("blue", 1.0), {})


def test_the_primary_metric_is_called_by_its_name():
    values = {"loss": 0.3, "own": -4.0}
    assert judge(Gate("primary", 0.5), values, primary="loss").passed
    verdict = judge(Gate("primary", -3.0), values, primary="own")
    assert not verdict.passed
    assert "own >= -3" in verdict.reason
    assert "primary >= 1" in judge(Gate("primary", 1.0), {}, failure="No memory.").reason
