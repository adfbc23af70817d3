"""The gate: the metric and threshold below which a model is neither registered nor deployed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.metrics import (
    CLASSIFICATION_METRICS,
    GATE_METRICS,
    METRICS,
    PRIMARY,
)


@dataclass(frozen=True)
class Gate:
    """What guards the registration.

    Attributes:
        metric: A name of ``GATE_METRICS``; empty for no gate.
        threshold: The least value that passes, the greatest for losses and perplexity.
    """

    metric: str = ""
    threshold: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """What the gate decided.

    Attributes:
        passed: Whether the model may be registered.
        reason: One sentence for a person.
    """

    passed: bool
    reason: str


def judge(
    gate: Gate, values: Mapping[str, float | None], *, primary: str = "", failure: str = ""
) -> Verdict:
    """Compares the tuned model's metric with the threshold.

    Args:
        gate: What is asked for.
        values: The tuned model's metrics; empty where there was no evaluation set.
        primary: Which of them is the primary one; empty where there are none.
        failure: Why the evaluation failed; empty where it did not.

    Returns:
        The verdict. A value equal to the threshold passes; a metric without a value does not.

    Raises:
        UserError: If the metric is unknown.
    """
    if not gate.metric:
        what = "No gate was set: every tuned model is registered"
        return Verdict(True, f"{what}, also without an evaluation." if failure else f"{what}.")
    if gate.metric not in GATE_METRICS:
        known = ", ".join(GATE_METRICS)
        raise UserError(Problem(f"{gate.metric!r} is no metric of the gate.", "gate_metric", known))
    metric = primary or gate.metric if gate.metric == PRIMARY else gate.metric
    more_is_better = METRICS.get(metric, True)
    wanted = f"{metric} {'>=' if more_is_better else '<='} {gate.threshold:g}"
    if failure:
        return Verdict(
            False,
            f"Gate not passed: nothing is registered or deployed. It asks for {wanted}, but the "
            f"evaluation failed. {failure}",
        )
    if not values:
        return Verdict(False, f"The gate asks for {wanted}, but there was no evaluation set.")
    value = values.get(metric)
    if value is None or math.isnan(value):
        hint = ""
        if metric in CLASSIFICATION_METRICS:
            hint = " It has one for classification only, which this evaluation set is not."
        return Verdict(False, f"The gate asks for {wanted}, but {metric} has no value.{hint}")
    passed = value >= gate.threshold if more_is_better else value <= gate.threshold
    outcome = "passed" if passed else "not passed: nothing is registered or deployed"
    return Verdict(passed, f"Gate {outcome}. Asked for {wanted}, the tuned model has {value:.6g}.")
