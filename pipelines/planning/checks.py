"""One thing that ``plan`` looked at, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from kfp_llm_tuning.components.common.errors import Problem, UserError

Status = Literal["ok", "warning", "unknown", "problem"]
_FORBIDDEN = 403


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        subject: What: credentials, quota, bucket ...
        status: "problem" keeps the run from succeeding, "unknown" could not be looked at.
        text: What was found.
        fix: What to do.
    """

    subject: str
    status: Status
    text: str
    fix: str = ""

    @classmethod
    def of(cls, subject: str, problem: Problem) -> Check:
        """Takes over a problem that another part of the project found."""
        text = f"{problem.where}: {problem.what}" if problem.where else problem.what
        if problem.allowed:
            text += f" Allowed: {problem.allowed}."
        return cls(subject, "problem", text, problem.fix)


def looked_at(subject: str, look: Callable[[], Sequence[Check]]) -> list[Check]:
    """Does one check; a refusal is a finding, so that the others are done all the same.

    Args:
        subject: What is looked at.
        look: Looks at it.

    Returns:
        What was found: where the account may not look, that it is not known.
    """
    try:
        return list(look())
    except UserError as error:
        if _is_forbidden(error.__cause__):
            return [Check(subject, "unknown", str(error.problems[0].what), error.problems[0].fix)]
        return [Check.of(subject, problem) for problem in error.problems]


def _is_forbidden(error: BaseException | None) -> bool:
    """Knows a refusal of Google's APIs by its code, and one of Kubernetes' by its status."""
    return _FORBIDDEN in (getattr(error, "code", None), getattr(error, "status", None))
