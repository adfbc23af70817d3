"""From two sets of predictions to figures, a report and the gate's verdict."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from kfp_llm_tuning.components.common.storage import (
    failures_told,
    join,
    mirror_directory,
    write_atomically,
)
from kfp_llm_tuning.components.evaluation.artifacts import read_predictions
from kfp_llm_tuning.components.evaluation.comparison import Evaluation, compare
from kfp_llm_tuning.components.evaluation.evaluation_report import render_report
from kfp_llm_tuning.components.evaluation.history import read_history

EVALUATION_FILE = "evaluation.json"
REPORT_FILE = "report.html"

_log = logging.getLogger(__name__)


def evaluate_model(
    base_predictions: Path,
    tuned_predictions: Path,
    tensorboard_metrics: Path,
    output: Path,
    *,
    gate_metric: str = "",
    gate_threshold: float = 0.0,
) -> Evaluation:
    """Compares the tuned model with the base model and writes evaluation.json and report.html.

    Args:
        base_predictions: Output folder of ``batch-predict`` for the base model.
        tuned_predictions: The same for the tuned model.
        tensorboard_metrics: The tuner's folder with history.jsonl, for the training curves.
        output: Where the two files go.
        gate_metric: A name of ``GATE_METRICS``; empty for no gate.
        gate_threshold: The least value that passes, the greatest for losses.

    Returns:
        The evaluation.

    Raises:
        UserError: If a folder is not what it should be, or if the gate's metric is unknown.
    """
    # It tells every step of its own arithmetic.
    logging.getLogger("sacrebleu").setLevel(logging.WARNING)
    evaluation = compare(
        read_predictions(base_predictions),
        read_predictions(tuned_predictions),
        gate_metric,
        gate_threshold,
    )
    history = read_history(tensorboard_metrics)
    write_atomically(output / EVALUATION_FILE, _encode(evaluation, gate_metric, gate_threshold))
    write_atomically(output / REPORT_FILE, render_report(evaluation, history))
    for metric in evaluation.metrics:
        _log.info(
            "%s: base %.4g, tuned %.4g (%s)",
            metric.name,
            metric.base,
            metric.tuned,
            metric.verdict,
        )
    _log.info("%s", evaluation.gate.reason)
    return evaluation


def publish(folders: Mapping[str, Path], output_root_dir: str, run_id: str) -> None:
    """Copies what an evaluation made to where its user wants it; nothing without such a place.

    Args:
        folders: Local folders by the names they get.
        output_root_dir: Folder of the evaluations of all runs, a path or URI; empty for none.
        run_id: Names the run's folder in it.

    Raises:
        UserError: If it cannot be written there.
    """
    if not output_root_dir:
        return
    target = join(output_root_dir, run_id)
    with failures_told(f"write {target}", "evaluation_output_root_dir"):
        for name, folder in folders.items():
            mirror_directory(folder, join(target, name))
    _log.info("Copied the evaluation to %s.", target)


def flat_metrics(evaluation: Evaluation) -> dict[str, float]:
    """Lists the figures for KFP's Metrics artifact.

    Args:
        evaluation: What ``evaluate_model`` returned.

    Returns:
        The tuned model's values under the metrics' names, the base model's under ``base_NAME``, and
        ``examples``. Values that JSON cannot hold are left out; they stand as null in
        evaluation.json.
    """
    values = {metric.name: metric.tuned for metric in evaluation.metrics}
    values |= {f"base_{metric.name}": metric.base for metric in evaluation.metrics}
    finite = {name: value for name, value in values.items() if math.isfinite(value)}
    return {"examples": float(evaluation.examples), **finite}


def _encode(evaluation: Evaluation, gate_metric: str, gate_threshold: float) -> bytes:
    metrics = {
        metric.name: {
            "base": metric.base,
            "tuned": metric.tuned,
            "base_interval": metric.base_interval,
            "tuned_interval": metric.tuned_interval,
            "p_value": metric.p_value,
            "verdict": metric.verdict,
        }
        for metric in evaluation.metrics
    }
    gate = {"metric": gate_metric, "threshold": gate_threshold}
    content: dict[str, Any] = {
        "examples": evaluation.examples,
        "task": evaluation.task,
        "metrics": metrics,
        "gate": gate | dataclasses.asdict(evaluation.gate),
        "references_without_rouge_tokens": evaluation.references_without_rouge_tokens,
        "base": evaluation.base,
        "tuned": evaluation.tuned,
    }
    return msgspec.json.format(msgspec.json.encode(content)) + b"\n"
