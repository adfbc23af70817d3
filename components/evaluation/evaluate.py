"""From two sets of predictions to figures, a report and the gate's verdict."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from kfp_llm_tuning.components.common.errors import UserError, error_sentence
from kfp_llm_tuning.components.common.folders import write_atomically
from kfp_llm_tuning.components.common.metrics import METRICS, PRIMARY
from kfp_llm_tuning.components.common.report import written
from kfp_llm_tuning.components.common.storage import failures_explained, join
from kfp_llm_tuning.components.common.transfers import mirror_directory
from kfp_llm_tuning.components.evaluation.artifacts import read_predictions
from kfp_llm_tuning.components.evaluation.comparison import (
    Criteria,
    Evaluation,
    compare,
    not_compared,
)
from kfp_llm_tuning.components.evaluation.evaluation_report import render_report
from kfp_llm_tuning.components.evaluation.gate import Gate
from kfp_llm_tuning.components.evaluation.headline import headline, primary_title, tone
from kfp_llm_tuning.components.evaluation.history import Curve, read_history
from kfp_llm_tuning.components.evaluation.metric_comparison import MetricComparison

EVALUATION_FILE = "evaluation.json"
REPORT_FILE = "report.html"

_log = logging.getLogger(__name__)


def evaluate_model(
    base_predictions: Path,
    tuned_predictions: Path,
    tensorboard_metrics: Path,
    output: Path,
    *,
    training_records: Path | None = None,
    criteria: Criteria | None = None,
    copies: Copies | None = None,
    continue_on_failure: bool = False,
) -> Evaluation:
    """Compares the tuned model with the base model and writes evaluation.json and report.html.

    Args:
        base_predictions: Output folder of ``batch-predict`` for the base model.
        tuned_predictions: The same for the tuned model.
        tensorboard_metrics: The tuner's folder with history.jsonl, for the training curves.
        output: Where the two files go.
        training_records: Output folder of ``preprocess-dataset`` for the training set, which the
            trivial baselines know; None: they know nothing.
        criteria: What the model is judged by; None: by the task's own metric, without a gate.
        copies: Where all that was made is copied to; None for no copy.
        continue_on_failure: Write down what fails rather than raise it: the comparison where no
            gate needs it, the copy always.

    Returns:
        The evaluation.

    Raises:
        UserError: If a folder is not what it should be, if a metric is unknown or the user's own
            fails, or if the copy cannot be written.
    """
    # It tells every step of its own arithmetic.
    logging.getLogger("sacrebleu").setLevel(logging.WARNING)
    criteria = criteria or Criteria()
    files = _Files(output, criteria.gate)
    history: Mapping[str, Curve] = {}
    try:
        history = read_history(tensorboard_metrics)
        base, tuned = read_predictions(base_predictions), read_predictions(tuned_predictions)
        evaluation = compare(
            base, tuned, criteria, training_records, continue_on_failure=continue_on_failure
        )
        files.write(evaluation, history)
    except Exception as error:
        if criteria.gate.metric or not continue_on_failure:
            raise
        _log.exception("The comparison failed; the pipeline goes on without it.")
        failure = f"The models could not be compared: {error_sentence(error)}"
        evaluation = not_compared([failure], criteria)
        files.write(evaluation, history)
    try:
        folders = {"base_predictions": base_predictions, "tuned_predictions": tuned_predictions}
        publish({"evaluation": output, **folders}, copies or Copies())
    except UserError as error:
        if not continue_on_failure:
            raise
        failures = (*evaluation.failures, f"The evaluation was not copied: {error}")
        evaluation = dataclasses.replace(evaluation, failures=failures)
        files.write(evaluation, history)
    _log_outcome(evaluation)
    return evaluation


@dataclass(frozen=True)
class Copies:
    """Where a user wants the evaluations of all runs.

    Attributes:
        root: A folder, a path or URI; empty for no copy.
        run_id: Names the run's folder in it.
    """

    root: str = ""
    run_id: str = ""


def publish(folders: Mapping[str, Path], copies: Copies) -> None:
    """Copies what an evaluation made to where its user wants it; nothing without such a place.

    Args:
        folders: Local folders by the names they get.
        copies: Where to.

    Raises:
        UserError: If it cannot be written there.
    """
    if not copies.root:
        return
    target = join(copies.root, copies.run_id)
    with failures_explained(f"write {target}", "evaluation_output_root_dir"):
        for name, folder in folders.items():
            mirror_directory(folder, join(target, name))
    _log.info("Copied the evaluation to %s.", target)


@dataclass(frozen=True)
class _Files:
    """The two files that an evaluation leaves."""

    folder: Path
    gate: Gate

    def write(self, evaluation: Evaluation, history: Mapping[str, Curve]) -> None:
        encoded = _encode(evaluation, self.gate)
        report = written("Evaluation report", lambda: render_report(evaluation, history))
        write_atomically(self.folder / EVALUATION_FILE, encoded)
        write_atomically(self.folder / REPORT_FILE, report)


def _log_outcome(evaluation: Evaluation) -> None:
    _log.info("%s", headline(evaluation))
    for alarm in evaluation.alarms:
        _log.warning("%s", alarm.message)
    for verdict in dict.fromkeys(metric.verdict for metric in evaluation.metrics):
        figures = [
            f"{metric.name} {metric.base:.4g} -> {metric.tuned:.4g}"
            for metric in evaluation.metrics
            if metric.verdict == verdict
        ]
        _log.info("Tuned is %s: %s", verdict, ", ".join(figures))
    for failure in evaluation.failures:
        _log.warning("%s", failure)
    _log.info("%s", evaluation.gate.reason)


def flat_metrics(evaluation: Evaluation) -> dict[str, float]:
    """Lists the figures for KFP's Metrics artifact.

    Args:
        evaluation: What ``evaluate_model`` returned.

    Returns:
        ``primary``, the tuned model's value of the metric that decides, ``base_primary``, and the
        trivial baselines under ``baseline_NAME``; then the tuned model's values under the metrics'
        names, the base model's under ``base_NAME``, and ``examples``. Values that JSON cannot hold
        are left out; they stand as null in evaluation.json.
    """
    values: dict[str, float] = {}
    if evaluation.primary:
        values = {PRIMARY: evaluation.primary.tuned, f"base_{PRIMARY}": evaluation.primary.base}
    values |= {f"baseline_{each.name}": each.value for each in evaluation.baselines}
    values["examples"] = float(evaluation.examples)
    values |= {metric.name: metric.tuned for metric in evaluation.metrics}
    values |= {f"base_{metric.name}": metric.base for metric in evaluation.metrics}
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _encode(evaluation: Evaluation, gate: Gate) -> bytes:
    content: dict[str, Any] = {
        "headline": headline(evaluation),
        "tone": tone(evaluation),
        "examples": evaluation.examples,
        "task": evaluation.task,
        "primary": _encode_primary(evaluation),
        "alarms": evaluation.alarms,
        "metrics": {metric.name: _encode_metric(metric) for metric in evaluation.metrics},
        "gate": dataclasses.asdict(gate) | dataclasses.asdict(evaluation.gate),
        "failures": evaluation.failures,
        "references_without_rouge_tokens": evaluation.references_without_rouge_tokens,
        "base": evaluation.base,
        "tuned": evaluation.tuned,
    }
    return msgspec.json.format(msgspec.json.encode(content)) + b"\n"


def _encode_primary(evaluation: Evaluation) -> dict[str, Any] | None:
    if evaluation.primary is None:
        return None
    return {
        "name": evaluation.primary.name,
        "title": primary_title(evaluation),
        "more_is_better": METRICS.get(evaluation.primary.name, True),
        **_encode_metric(evaluation.primary),
        "baseline_metric": evaluation.baseline_metric,
        "baselines": [
            dataclasses.asdict(baseline) | {"title": baseline.title, "verdict": baseline.verdict}
            for baseline in evaluation.baselines
        ],
    }


def _encode_metric(metric: MetricComparison) -> dict[str, Any]:
    return {
        "base": metric.base,
        "tuned": metric.tuned,
        "base_interval": metric.base_interval,
        "tuned_interval": metric.tuned_interval,
        "p_value": metric.p_value,
        "verdict": metric.verdict,
    }
