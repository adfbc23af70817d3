"""Reads what earlier stages left into what a registry keeps: parameters, metrics, curves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EVALUATION_FILE = "evaluation.json"
# Where it stands among the artifacts of an MLflow run, with the reports.
REPORTS_PATH = "reports"
HISTORY_FILE = "history.jsonl"


@dataclass(frozen=True)
class CurvePoint:
    """One value of one TensorBoard tag.

    Attributes:
        name: The tag without its leading slash, which MLflow refuses.
        value: The value; may be NaN.
        step: Optimiser steps done.
        time: When it was logged, in seconds since the epoch; None where the tuner did not say.
    """

    name: str
    value: float
    step: int
    time: float | None


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
    compared = evaluation.get("metrics", {})
    named = {
        "tuning": provenance.get("metrics", {}),
        "base": {name: metric.get("base") for name, metric in compared.items()},
        "tuned": {name: metric.get("tuned") for name, metric in compared.items()},
    }
    return {name: float(value) for name, value in flatten(named) if _is_number(value)}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Walks nested objects; lists and missing values have no place in a table and are left out.

    Args:
        values: The object.
        prefix: Put before each name.

    Yields:
        Names joined by ``/`` without doubled or leading slashes, and their values.
    """
    for key, value in values.items():
        name = f"{prefix}/{key.strip('/')}".strip("/")
        if isinstance(value, Mapping):
            yield from flatten(value, name)
        elif value is not None and not isinstance(value, list):
            yield name, value


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
        return [point for line in lines if line.strip() for point in _points(json.loads(line))]


def _points(logged: dict[str, Any]) -> Iterator[CurvePoint]:
    step, time = int(logged.pop("step")), logged.pop("wall_time", None)
    for name, value in flatten(logged):
        if _is_number(value):
            yield CurvePoint(name, float(value), step, time)
