"""The gate: the metric and threshold below which a model is neither registered nor deployed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.gate_metrics import CLASSIFICATION_METRICS, GATE_METRICS


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
    metric: str, threshold: float, values: Mapping[str, float | None], failure: str = ""
) -> Verdict:
    """Compares the tuned model's metric with the threshold.

    Args:
        metric: A name of ``GATE_METRICS``; empty for no gate.
        threshold: The least value that passes, the greatest for losses and perplexity.
        values: The tuned model's metrics; empty where there was no evaluation set.
        failure: Why the evaluation failed; empty where it did not.

    Returns:
        The verdict. A value equal to the threshold passes; a metric without a value does not.

    Raises:
        UserError: If the metric is unknown.
    """
    if not metric:
        what = "No gate was set: every tuned model is registered"
        return Verdict(True, f"{what}, also without an evaluation." if failure else f"{what}.")
    if metric not in GATE_METRICS:
        known = ", ".join(GATE_METRICS)
        raise UserError(Problem(f"{metric!r} is no metric of the gate.", "gate_metric", known))
    more_is_better = GATE_METRICS[metric]
    wanted = f"{metric} {'>=' if more_is_better else '<='} {threshold:g}"
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
    passed = value >= threshold if more_is_better else value <= threshold
    outcome = "passed" if passed else "not passed: nothing is registered or deployed"
    return Verdict(passed, f"Gate {outcome}. Asked for {wanted}, the tuned model has {value:.6g}.")
