"""The one metric that says how good a tuned model is, as it is shown outside of reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# In evaluation.json the metric, and in the metadata of evaluate-model's metrics its value, beside
# that of the base model and its name.
PRIMARY_KEY = "primary"
PRIMARY_NAME_KEY = "primary_metric"
# Of a registered version: the metric's name.
PRIMARY_LABEL = "primary-metric"
# What a metric of the base and of the tuned model is called where both stand side by side.
BASE, TUNED = "base", "tuned"


@dataclass(frozen=True)
class PrimaryMetric:
    """The primary metric of an evaluation.

    Attributes:
        name: As evaluation.json calls it.
        base: The base model's value; None where there is none.
        tuned: The tuned model's value; None where there is none.
    """

    name: str
    base: float | None = None
    tuned: float | None = None

    def __str__(self) -> str:
        """Writes it for people: ``accuracy 0.94 (base 0.31)``."""
        base = f" (base {self.base:.4g})" if self.base is not None else ""
        tuned = f"{self.tuned:.4g}" if self.tuned is not None else "unknown"
        return f"{self.name} {tuned}{base}"


def of_figures(name: str, figures: Mapping[str, Any]) -> PrimaryMetric | None:
    """Finds a metric among figures called ``base/NAME`` and ``tuned/NAME``.

    Args:
        name: The metric; empty where it is not known which is the primary one.
        figures: Values by name.

    Returns:
        The metric; None where neither model has a value.
    """
    base, tuned = figures.get(f"{BASE}/{name}"), figures.get(f"{TUNED}/{name}")
    if not name or (base is None and tuned is None):
        return None
    return PrimaryMetric(name, base, tuned)
