"""Validates the dataset of a planned run as ``validate`` does, and estimates the run from it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.wording import counted
from kfp_llm_tuning.components.data.sources.files import check_stores_reached
from kfp_llm_tuning.components.validation.base_model import KIND, NOT_CHECKED
from kfp_llm_tuning.components.validation.machine_memory import method_of
from kfp_llm_tuning.components.validation.summarise import summarise_finding
from kfp_llm_tuning.pipelines.planning.checks import Check
from kfp_llm_tuning.pipelines.planning.estimate import Estimate, estimate, workload
from kfp_llm_tuning.pipelines.planning.planned_run import PlannedRun, Tuner
from kfp_llm_tuning.pipelines.planning.room_check import check_room

if TYPE_CHECKING:
    from kfp_llm_tuning.components.models.model_reference import ModelReference
    from kfp_llm_tuning.components.validation.summary import FindingSummary, Summary

_SHOWN_FINDINGS = 5
_MODEL_KINDS = (KIND, NOT_CHECKED, "unusable_template")


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
        managed = [Check("dataset", "unknown", what)] if run.value("dataset_name") else []
        return [*managed, *_model_alone(run)], None
    try:
        summary = _validate(run)
    except UserError as error:
        return [Check.of("dataset", problem) for problem in error.problems], None
    checks = [_check_of(finding) for finding in _worst(summary.findings)]
    if not any(check.subject == "model" for check in checks):
        checks.insert(0, _good_model(summary.model_reference))
    if not _problems_of(checks, "dataset") and (summary.valid or _problems_of(checks, "model")):
        text = f"{counted(summary.training.good_examples, 'example')} can be tuned on."
        checks.insert(0, Check("dataset", "ok", text))
    elif not any(check.status == "problem" for check in checks):
        checks.append(Check("dataset", "problem", "strict_validation refuses its warnings."))
    if summary.steps and summary.steps.reason:
        what = f"{counted(summary.steps.train_steps, 'step')}: {summary.steps.reason}."
        checks.append(Check("steps", "ok", what))
    if summary.evaluation and run.value("evaluation_fraction"):
        what = f"{summary.evaluation.good_examples:,} examples are held out to evaluate on."
        checks.append(Check("evaluation", "ok", what))
    checks += check_room(run, summary, _reference(run), tuner)
    return checks, _estimate(run, summary, tuner)


def _check_of(finding: FindingSummary) -> Check:
    subject = "model" if finding.kind in _MODEL_KINDS else "dataset"
    if finding.kind == NOT_CHECKED:
        return Check(subject, "unknown", finding.message)
    return Check(subject, "problem" if finding.severity == "error" else "warning", finding.message)


def _problems_of(checks: list[Check], subject: str) -> bool:
    return any(check.subject == subject and check.status == "problem" for check in checks)


def _good_model(reference: str) -> Check:
    return Check("model", "ok", f"{reference} can be tuned, as far as its files tell.")


def _model_alone(run: PlannedRun) -> list[Check]:
    """Examines the model of a run whose rows cannot be looked at."""
    from kfp_llm_tuning.components.validation.base_model import examine

    try:
        reference = _reference(run)
    except UserError:
        # validate-pipeline's own checks have said so.
        return []
    found = examine(reference, conversations=False).findings
    checks = [_check_of(finding) for finding in _worst(map(summarise_finding, found))]
    return checks or [_good_model(reference.name)]


def _validate(run: PlannedRun) -> Summary:
    from kfp_llm_tuning.components.validation.dataset import Request, validate_dataset

    for name in ("dataset_uri", "evaluation_data_uri"):
        check_stores_reached(str(run.value(name) or ""), name)
    return validate_dataset(
        Request(
            dataset_uri=str(run.value("dataset_uri")),
            evaluation_data_uri=str(run.value("evaluation_data_uri")),
            evaluation_fraction=float(run.value("evaluation_fraction")),
            seed=int(run.value("seed")),
            large_model_reference=str(run.value("large_model_reference")),
            default_context=str(run.value("default_context")),
            train_steps=int(run.value("train_steps")),
            epochs=float(run.value("epochs")),
            tuning_method=str(run.value("tuning_method")),
            accelerator_type="TPU" if run.checked and run.checked.use_tpu else "GPU",
            max_context_length=str(run.value("max_context_length") or ""),
            strict=bool(run.value("strict_validation")),
            max_printed_problems=_SHOWN_FINDINGS,
            tuner_arguments=run.value("tuner_arguments"),
            dataset_format=str(run.value("dataset_format") or ""),
            train_on=str(run.value("train_on")),
        )
    ).summary


def _worst(findings: Iterable[FindingSummary]) -> list[FindingSummary]:
    return [finding for finding in findings if finding.severity in ("error", "warning")]


def _estimate(run: PlannedRun, summary: Summary, tuner: Tuner) -> Estimate | None:
    if not run.checked or (tuner.listed_prices and not tuner.machine):
        return None
    reference = _reference(run)
    work = workload(summary, reference, tuner, method_of(reference, run.value("tuner_arguments")))
    return estimate(work) if work else None


def _reference(run: PlannedRun) -> ModelReference:
    from kfp_llm_tuning.components.models.model_references import resolve

    return resolve(
        str(run.value("large_model_reference")),
        tuning_method=str(run.value("tuning_method")),
        accelerator="TPU" if run.checked and run.checked.use_tpu else "GPU",
        max_context_length=str(run.value("max_context_length") or ""),
    )
