"""Reads what earlier stages left into what a registry keeps: parameters, metrics, curves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.primary_metric import (
    BASE,
    PRIMARY_KEY,
    TUNED,
    PrimaryMetric,
    of_figures,
)
from kfp_llm_tuning.components.tracking.curves import (
    CurvePoint,
    flatten,
    is_number,
    points_of,
)

EVALUATION_FILE = "evaluation.json"
# Where it stands among the artifacts of an MLflow run, with the reports.
REPORTS_PATH = "reports"
HISTORY_FILE = "history.jsonl"


def read_evaluation(evaluation: Path) -> dict[str, Any]:
    """Reads ``evaluation.json`` of a folder; empty where the folder has none."""
    path = evaluation / EVALUATION_FILE
    if not path.is_file():
        return {}
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value


def run_parameters(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Lists the parameters of the run.

    Args:
        provenance: From ``saved_model.read_provenance``.

    Returns:
        Every single value of the provenance except its metrics; nested names are joined by ``/``.
    """
    facts = {key: value for key, value in provenance.items() if key != "metrics"}
    return {name: str(value) for name, value in flatten(facts)}


def final_metrics(provenance: Mapping[str, Any], evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Lists the figures that a person compares models by.

    Args:
        provenance: From ``saved_model.read_provenance``: the tuner's figures at the saved step.
        evaluation: From ``read_evaluation``: the figures of the base and the tuned model.

    Returns:
        ``tuning/TAG``, ``base/METRIC`` and ``tuned/METRIC``, and their values. What is null in
        evaluation.json, which JSON has no number for, is left out.
    """
    named = {"tuning": provenance.get("metrics", {}), **sides(evaluation)}
    return {name: float(value) for name, value in flatten(named) if is_number(value)}


def sides(evaluation: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Lists the figures of the base and of the tuned model, by the same names.

    Args:
        evaluation: From ``read_evaluation``.

    Returns:
        The metrics of ``base`` and of ``tuned``; of one that was not evaluated there are none.
    """
    compared = evaluation.get("metrics", {})
    return {
        side: {
            name: float(metric[side])
            for name, metric in compared.items()
            if is_number(metric.get(side))
        }
        for side in (BASE, TUNED)
    }


def primary_metric(evaluation: Mapping[str, Any]) -> PrimaryMetric | None:
    """Finds the metric that the evaluation judges by.

    Args:
        evaluation: From ``read_evaluation``.

    Returns:
        The metric; None where nothing was evaluated.
    """
    told = evaluation.get(PRIMARY_KEY) or ""
    name = told.get("name", "") if isinstance(told, Mapping) else str(told)
    return of_figures(name, dict(flatten(sides(evaluation))))


def read_curves(tensorboard_metrics: Path) -> list[CurvePoint]:
    """Reads every value that the tuner logged.

    Args:
        tensorboard_metrics: The tuner's folder, with ``history.jsonl``.

    Returns:
        The points in the order logged; none where there is no history.
    """
    path = tensorboard_metrics / HISTORY_FILE
    if not path.is_file():
        return []
    with path.open(encoding="utf-8") as lines:
        return [point for line in lines if line.strip() for point in points_of(json.loads(line))]
