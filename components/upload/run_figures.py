"""Writes what a pipeline run reached into its MLflow run: curves, figures and reports."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.tracking.mlflow_pages import chart_of_runs_below
from kfp_llm_tuning.components.tracking.tracked_run import (
    FINISHED,
    PRIMARY_TAG,
    Curves,
    TrackedRun,
)
from kfp_llm_tuning.components.upload import run_content


def log_figures(
    run: TrackedRun,
    tensorboard_metrics: Path,
    provenance: Mapping[str, Any],
    evaluation: Mapping[str, Any],
) -> None:
    """Logs curves and figures; those of the base and of the tuned model in runs below it, too.

    Args:
        run: The MLflow run.
        tensorboard_metrics: The tuner's folder, with ``history.jsonl``.
        provenance: From ``saved_model.read_provenance``.
        evaluation: From ``run_content.read_evaluation``.
    """
    Curves(run).log(run_content.read_curves(tensorboard_metrics))
    run.log_metrics(run_content.final_metrics(provenance, evaluation))
    run.log_parameters(run_content.run_parameters(provenance))
    if primary := run_content.primary_metric(evaluation):
        run.client.set_tag(run.id, PRIMARY_TAG, primary.name)
    sides = {name: metrics for name, metrics in run_content.sides(evaluation).items() if metrics}
    for name, metrics in sides.items():
        side = run.side(name)
        side.log_metrics(metrics)
        side.end(FINISHED)
    run.describe(_description(run, evaluation, has_sides=bool(sides)))


def _description(run: TrackedRun, evaluation: Mapping[str, Any], *, has_sides: bool) -> str:
    """Writes the verdict, and where MLflow shows what it comes from."""
    lines = [str(evaluation.get("headline") or run_content.primary_metric(evaluation) or "")]
    if has_sides:
        page = chart_of_runs_below(run.run.info.experiment_id, run.id)
        lines.append(f"[Base and tuned model as columns of one chart]({page})")
    return "\n\n".join(filter(None, lines))


def store_reports(run: TrackedRun, reports: Mapping[str, Path]) -> None:
    """Stores reports beside the figures.

    Args:
        run: The MLflow run.
        reports: Files by their name in the store; those that are not there are left out.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, source in reports.items():
            if source.is_file():
                (Path(folder) / name).write_bytes(source.read_bytes())
        run.client.log_artifacts(run.id, folder, run_content.REPORTS_PATH)
