"""Validates the dataset of a planned run as ``validate`` does, and estimates the run from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.pipelines.planning.checks import Check
from kfp_llm_tuning.pipelines.planning.estimate import Estimate, estimate, workload
from kfp_llm_tuning.pipelines.planning.planned_run import PlannedRun, Tuner

if TYPE_CHECKING:
    from kfp_llm_tuning.components.validation.summary import FindingSummary, Summary

_SHOWN_FINDINGS = 5


def check_dataset(run: PlannedRun, tuner: Tuner) -> tuple[list[Check], Estimate | None]:
    """Reads and validates both sets.

    Args:
        run: The run.
        tuner: The machine that it tunes on.

    Returns:
        What was found, and the estimate where there is enough to reckon with.
    """
    if not run.value("dataset_uri"):
        what = "a managed dataset is read by the run only: it is not validated, nor estimated."
        return ([Check("dataset", "unknown", what)] if run.value("dataset_name") else []), None
    try:
        summary = _validate(run)
    except UserError as error:
        return [Check.of("dataset", problem) for problem in error.problems], None
    checks = [
        Check("dataset", "problem" if finding.severity == "error" else "warning", finding.message)
        for finding in _worst(summary)
    ]
    if summary.valid:
        text = f"{summary.training.good_examples:,} examples can be tuned on."
        checks.insert(0, Check("dataset", "ok", text))
    elif not any(check.status == "problem" for check in checks):
        checks.append(Check("dataset", "problem", "strict_validation refuses its warnings."))
    return checks, _estimate(run, summary, tuner)


def _validate(run: PlannedRun) -> Summary:
    from kfp_llm_tuning.components.validation.dataset import Request, validate_dataset

    return validate_dataset(
        Request(
            dataset_uri=str(run.value("dataset_uri")),
            evaluation_data_uri=str(run.value("evaluation_data_uri")),
            large_model_reference=str(run.value("large_model_reference")),
            default_context=str(run.value("default_context")),
            train_steps=int(run.value("train_steps")),
            tuning_method=str(run.value("tuning_method")),
            accelerator_type="TPU" if run.checked and run.checked.use_tpu else "GPU",
            max_context_length=str(run.value("max_context_length") or ""),
            strict=bool(run.value("strict_validation")),
            max_printed_problems=_SHOWN_FINDINGS,
        )
    ).summary


def _worst(summary: Summary) -> list[FindingSummary]:
    return [finding for finding in summary.findings if finding.severity in ("error", "warning")]


def _estimate(run: PlannedRun, summary: Summary, tuner: Tuner) -> Estimate | None:
    from kfp_llm_tuning.components.tuning.model_references import resolve

    if not run.checked or (tuner.on_vertex and not tuner.machine):
        return None
    reference = resolve(
        str(run.value("large_model_reference")),
        tuning_method=str(run.value("tuning_method")),
        accelerator="TPU" if run.checked.use_tpu else "GPU",
        max_context_length=str(run.value("max_context_length") or ""),
    )
    work = workload(summary, reference, tuner)
    return estimate(work) if work else None
