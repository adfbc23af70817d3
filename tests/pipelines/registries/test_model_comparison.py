"""Two registered versions side by side."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from kfp_llm_tuning.pipelines.commands.compared_models import print_comparison
from kfp_llm_tuning.pipelines.registries.model_comparison import (
    NO_CLEAR_DIFFERENCE,
    Figure,
    ModelComparison,
    compare,
)


def version(number: int, digest: str = "abc", **parameters: str) -> Any:
    facts = {
        "checkpoint": "builtin://byte-tiny",
        "parameters/display_name": f"router {number}",
        "parameters/learning_rate": "0.1",
        "evaluation_dataset/examples": "250",
        "evaluation_dataset/source_uri": "/data/evaluation.jsonl",
        "evaluation_dataset/source_sha256": digest,
        **parameters,
    }
    return SimpleNamespace(
        name="router",
        version=number,
        resource_name=f"models/router@{number}",
        base_model="byte-tiny-latest",
        parameters=facts,
        metrics={"tuned/exact_match": 0.5, "tuned/loss": 1.0 + number, "base/loss": 9.0},
    )


def evaluation(low: float, high: float) -> dict[str, Any]:
    interval = {"low": low, "high": high}
    metric = {"base": 0.0, "tuned": (low + high) / 2, "tuned_interval": interval}
    return {"metrics": {"exact_match": metric, "auRoc": {"tuned": None}}}


def compared(first: Any, second: Any, *evaluations: dict[str, Any]) -> ModelComparison:
    kept = dict(zip((1, 2), evaluations, strict=False))
    registry: Any = SimpleNamespace(evaluation=lambda one: kept.get(one.version, {}))
    return compare(registry, first, second)


@pytest.mark.parametrize(
    ("second", "better"),
    [((0.7, 0.9), "router@2"), ((0.1, 0.3), "router@1"), ((0.55, 0.9), NO_CLEAR_DIFFERENCE)],
)
def test_a_model_is_better_where_intervals_do_not_overlap(
    second: tuple[float, float], better: str
) -> None:
    found = compared(version(1), version(2), evaluation(0.4, 0.6), evaluation(*second))
    metric = found.metrics[0]
    assert (metric.name, metric.better) == ("exact_match", better)
    assert metric.first == Figure(0.5, (0.4, 0.6))


def test_without_intervals_the_value_counts_and_losses_are_better_below() -> None:
    better = {metric.name: metric.better for metric in compared(version(1), version(2)).metrics}
    assert better == {"exact_match": NO_CLEAR_DIFFERENCE, "loss": "router@1"}


def test_nothing_is_better_on_other_data(capsys: pytest.CaptureFixture[str]) -> None:
    found = compared(version(1), version(2, digest="def"))
    assert {metric.better for metric in found.metrics} == {""}
    print_comparison(found)
    shown = capsys.readouterr().out
    assert "evaluated on different data" in shown
    assert "evaluation.jsonl, 250 rows, sha256 def" in shown


def test_settings_that_differ_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    changes = {"parameters/learning_rate": "0.2", "parameters/lora_rank": "4"}
    found = compared(version(1), version(2, **changes))
    assert found.parameters == {"learning_rate": ("0.1", "0.2"), "lora_rank": (None, "4")}
    assert found.base_models == ("builtin://byte-tiny", "builtin://byte-tiny")
    print_comparison(found)
    assert "learning_rate  0.1" in capsys.readouterr().out


def test_models_of_other_tools_have_nothing_in_common(capsys: pytest.CaptureFixture[str]) -> None:
    other = version(2)
    other.parameters, other.metrics = {}, {}
    found = compared(version(1), other)
    assert dataclasses.asdict(found)["same_evaluation"] is None
    assert found.base_models == ("builtin://byte-tiny", "byte-tiny-latest")
    print_comparison(found)
    assert "no metric in common" in capsys.readouterr().out
