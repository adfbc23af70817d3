"""What the inspection of the base model says, as findings beside those of the rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.storage import is_local, local_path
from kfp_llm_tuning.components.data.reading.findings import Finding, Severity
from kfp_llm_tuning.components.models.checkpoint_problems import CheckpointUnreachable
from kfp_llm_tuning.components.models.inspection.findings import Inspection
from kfp_llm_tuning.components.models.model_reference import ModelReference

KIND = "base_model"
NOT_CHECKED = "base_model_not_checked"
_WHERE = "large_model_reference"


@dataclass(frozen=True)
class ExaminedModel:
    """A base model that was looked at, or could not be.

    Attributes:
        findings: What was found of it.
        unchecked: Why nothing is known of it; empty where it was looked at.
        tokenizer: Its tokenizer; None where there is none to count tokens with.
    """

    findings: list[Finding] = field(default_factory=list)
    unchecked: str = ""
    tokenizer: Any = None


def examine(reference: ModelReference, conversations: bool) -> ExaminedModel:
    """Examines the base model.

    Args:
        reference: The model.
        conversations: Whether it is to be tuned on conversations.

    Returns:
        What was found; never an exception.
    """
    missing = [name for name in ("torch", "transformers") if find_spec(name) is None]
    if missing:
        fix = "Install it: pip install 'kfp-llm-tuning[tuning]'."
        return _not_checked(Problem(f"{missing[0]} is not installed.", _WHERE, fix=fix))
    from kfp_llm_tuning.components.models.base_inspection import inspect_base

    try:
        inspection = inspect_base(reference, conversations)
    except CheckpointUnreachable as error:
        return _not_checked(error.problems[0])
    except UserError as error:
        return ExaminedModel([model_finding(problem, Severity.ERROR) for problem in error.problems])
    usable = not inspection.problems
    return ExaminedModel(list(_findings(inspection)), "", inspection.tokenizer if usable else None)


def base_model_problems(
    reference: ModelReference, *, here: bool, conversations: bool
) -> list[Problem]:
    """Examines a base model that is a folder or a URI; validate-dataset looks at those of a hub.

    Args:
        reference: The model.
        here: Whether later tasks run on this machine: elsewhere they may have folders that this
            task has not.
        conversations: Whether it is to be tuned on conversations.

    Returns:
        What keeps it from being tuned; nothing where it cannot be looked at from here.
    """
    checkpoint = reference.checkpoint
    if checkpoint.startswith(("hf://", "builtin://")):
        return []
    if is_local(checkpoint) and not here and not local_path(checkpoint).is_dir():
        return []
    findings = examine(reference, conversations).findings
    return [finding.problem() for finding in findings if finding.severity == Severity.ERROR]


def _findings(inspection: Inspection) -> Iterator[Finding]:
    for severity, problems in (
        (Severity.ERROR, inspection.problems),
        (Severity.WARNING, inspection.warnings),
        (Severity.NOTE, inspection.notes),
    ):
        for problem in problems:
            yield model_finding(problem, severity)


def _not_checked(problem: Problem) -> ExaminedModel:
    reason = problem.what.rstrip(".")
    finding = Finding(
        NOT_CHECKED,
        f"the model could not be checked, nor truncation: {reason}.",
        problem.allowed,
        problem.fix,
        Severity.WARNING,
        path=problem.where,
    )
    return ExaminedModel([finding], reason)


def model_finding(problem: Problem, severity: Severity) -> Finding:
    """Writes a problem of the base model as a finding."""
    return Finding(KIND, problem.what, problem.allowed, problem.fix, severity, path=problem.where)
