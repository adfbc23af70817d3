"""What came of a look at everything that a run needs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from kfp_llm_tuning.pipelines.planning.checks import Check
from kfp_llm_tuning.pipelines.planning.estimate import Estimate


@dataclass(frozen=True)
class Plan:
    """What came of it.

    Attributes:
        checks: Everything that was looked at.
        estimate: Time and cost; None where the dataset could not be read.
    """

    checks: tuple[Check, ...]
    estimate: Estimate | None

    @property
    def ready(self) -> bool:
        """Whether nothing stands against submitting."""
        return not any(check.status == "problem" for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """Gives every field, for programs."""
        return {"ready": self.ready, **dataclasses.asdict(self)}
