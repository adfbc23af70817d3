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
from kfp_llm_tuning.components.common.report import written
from kfp_llm_tuning.components.common.storage import failures_explained, join
from kfp_llm_tuning.components.common.transfers import mirror_directory
from kfp_llm_tuning.components.evaluation.artifacts import read_predictions
from kfp_llm_tuning.components.evaluation.comparison import Evaluation, compare, not_compared
from kfp_llm_tuning.components.evaluation.evaluation_report import render_report
from kfp_llm_tuning.components.evaluation.history import Curve, read_history

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
    copies: Copies | None = None,
    continue_on_failure: bool = False,
) -> Evaluation:
    """Compares the tuned model with the base model and writes evaluation.json and report.html.

    Args:
        base_predictions: Output folder of ``batch-predict`` for the base model.
        tuned_predictions: The same for the tuned model.
        tensorboard_metrics: The tuner's folder with history.jsonl, for the training curves.
        output: Where the two files go.
        gate_metric: A name of ``GATE_METRICS``; empty for no gate.
        gate_threshold: The least value that passes, the greatest for losses.
        copies: Where all that was made is copied to; None for no copy.
        continue_on_failure: Write down what fails rather than raise it: the comparison where no
            gate needs it, the copy always.

    Returns:
        The evaluation.

    Raises:
        UserError: If a folder is not what it should be, if the gate's metric is unknown, or if
            the copy cannot be written.
    """
    # It tells every step of its own arithmetic.
    logging.getLogger("sacrebleu").setLevel(logging.WARNING)
    files = _Files(output, gate_metric, gate_threshold)
    history: Mapping[str, Curve] = {}
    try:
        history = read_history(tensorboard_metrics)
        base, tuned = read_predictions(base_predictions), read_predictions(tuned_predictions)
        evaluation = compare(base, tuned, gate_metric, gate_threshold)
        files.write(evaluation, history)
    except Exception as error:
        if gate_metric or not continue_on_failure:
            raise
        _log.exception("The comparison failed; the pipeline goes on without it.")
        failure = f"The models could not be compared: {error_sentence(error)}"
        evaluation = not_compared([failure], gate_metric, gate_threshold)
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
    gate_metric: str
    gate_threshold: float

    def write(self, evaluation: Evaluation, history: Mapping[str, Curve]) -> None:
        encoded = _encode(evaluation, self.gate_metric, self.gate_threshold)
        report = written("Evaluation report", lambda: render_report(evaluation, history))
        write_atomically(self.folder / EVALUATION_FILE, encoded)
        write_atomically(self.folder / REPORT_FILE, report)


def _log_outcome(evaluation: Evaluation) -> None:
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
        "failures": evaluation.failures,
        "references_without_rouge_tokens": evaluation.references_without_rouge_tokens,
        "base": evaluation.base,
        "tuned": evaluation.tuned,
    }
    return msgspec.json.format(msgspec.json.encode(content)) + b"\n"
