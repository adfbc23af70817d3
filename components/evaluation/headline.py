"""The verdict in a sentence about the task, and its colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kfp_llm_tuning.components.common.metrics import METRICS
from kfp_llm_tuning.components.data.tasks import Task
from kfp_llm_tuning.components.evaluation.alarms import AlarmKind
from kfp_llm_tuning.components.evaluation.baseline_comparison import best_of
from kfp_llm_tuning.components.evaluation.baselines import MAJORITY_ANSWER
from kfp_llm_tuning.components.evaluation.titles import metric_title

if TYPE_CHECKING:
    from kfp_llm_tuning.components.evaluation.comparison import Evaluation

_ACCURACY = "Accuracy of the written answers"


def primary_title(evaluation: Evaluation) -> str:
    """Names the metric that decides in words of the task; empty where nothing was compared."""
    if evaluation.primary is None:
        return ""
    name = evaluation.primary.name
    if evaluation.task == Task.CLASSIFICATION and name == "exact_match":
        return _ACCURACY
    return metric_title(name)


def headline(evaluation: Evaluation) -> str:
    """Writes the verdict.

    Args:
        evaluation: What evaluation found.

    Returns:
        One sentence: the primary metric of the tuned model and of what it is held against.
    """
    primary = evaluation.primary
    if primary is None and evaluation.failures:
        return "The evaluation failed, so nothing is known of the model's answers."
    if primary is None:
        return "There was no evaluation set, so nothing is known of the model's answers."
    beside = [f"base {primary.base:.3g}"]
    if evaluation.baseline_metric == primary.name:
        majority = [each for each in evaluation.baselines if each.name == MAJORITY_ANSWER]
        best = best_of([each for each in evaluation.baselines if each not in majority])
        shown = [*majority, *([best] if best else [])]
        beside += [f"{baseline.title} {baseline.value:.3g}" for baseline in shown]
    direction = "" if METRICS.get(primary.name, True) else ", less is better"
    title = primary_title(evaluation)
    return f"{title} {primary.tuned:.3g} ({', '.join(beside)}{direction}){_conclusion(evaluation)}."


def _conclusion(evaluation: Evaluation) -> str:
    assert evaluation.primary is not None
    if evaluation.alarms:
        return f": {_ALARMED[evaluation.alarms[0].kind]}"
    if evaluation.primary.verdict != "better":
        return f": {_AGAINST_BASE[evaluation.primary.verdict]}"
    unclear = [each.title for each in evaluation.baselines if each.verdict != "above"]
    return f": not clearly above the {unclear[0]}" if unclear else ""


_ALARMED = {
    AlarmKind.SAME_ANSWER: "always the same answer",
    AlarmKind.NOT_ABOVE_MAJORITY: "no better than one fixed answer",
    AlarmKind.NOT_ABOVE_BASELINE: "no better than what takes no model",
    AlarmKind.WORSE_THAN_BASE: "worse than the base model",
    AlarmKind.EMPTY_ANSWERS: "with many empty answers",
}
_AGAINST_BASE = {
    "equal": "the same as before tuning",
    "no clear difference": "no clear difference from the base model",
    "worse": "worse than the base model",
}


def tone(evaluation: Evaluation) -> str:
    """Colours the verdict.

    Args:
        evaluation: What evaluation found.

    Returns:
        ``bad`` where there is an alarm, ``good`` where the model is clearly better than all that it
        is held against, else ``muted``.
    """
    if evaluation.alarms or (evaluation.failures and evaluation.primary is None):
        return "bad"
    if evaluation.primary is None or evaluation.primary.verdict != "better":
        return "muted"
    clear = all(baseline.verdict == "above" for baseline in evaluation.baselines)
    return "good" if clear else "muted"
