"""The tuned model held against answers that take no model, in the metric that decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kfp_llm_tuning.components.evaluation.baselines import BASELINE_TITLES, trivial_answers
from kfp_llm_tuning.components.evaluation.metric_comparison import SIGNIFICANCE
from kfp_llm_tuning.components.evaluation.statistics import (
    paired_p_value,
    sacrebleu_interval_and_p_value,
)
from kfp_llm_tuning.components.evaluation.text_metrics import (
    CORPUS_METRICS,
    EXAMPLE_METRICS,
    example_values,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kfp_llm_tuning.components.evaluation.artifacts import PredictionSet
    from kfp_llm_tuning.components.evaluation.own_metric import OwnMetric
    from kfp_llm_tuning.components.evaluation.training_sample import TrainingSample

# Metrics of labels that a written answer has too.
_LABEL_METRICS = ("accuracy", "macro_f1")


@dataclass(frozen=True)
class Baseline:
    """One trivial baseline.

    Attributes:
        name: A name of ``BASELINE_TITLES``.
        value: Of the metric that decides.
        tuned: The tuned model's value of it.
        p_value: Of the paired test against the tuned model.
    """

    name: str
    value: float
    tuned: float
    p_value: float

    @property
    def title(self) -> str:
        """What it is called for people."""
        return BASELINE_TITLES[self.name]

    @property
    def verdict(self) -> str:
        """Says whether the tuned model is ``above``, ``not clearly above`` or ``not above``."""
        if self.tuned <= self.value:
            return "not above"
        return "above" if self.p_value < SIGNIFICANCE else "not clearly above"


@dataclass(frozen=True)
class Scale:
    """The metric that the baselines are measured in.

    Attributes:
        metric: Its name: one that written answers have.
        tuned: The tuned model's value.
        tuned_values: Its value of every example; None where the metric has none.
        own: The user's function, where it is theirs.
    """

    metric: str
    tuned: float
    tuned_values: NDArray[np.float64] | None = None
    own: OwnMetric | None = None


def fits_text(metric: str) -> bool:
    """Tells whether any text has a value of a metric of ours, not only a model's likelihoods."""
    return metric in (*EXAMPLE_METRICS, *CORPUS_METRICS, *_LABEL_METRICS)


def measure_baselines(
    scale: Scale, tuned: PredictionSet, training: TrainingSample
) -> tuple[Baseline, ...]:
    """Answers the evaluation set without a model, and measures the answers.

    Args:
        scale: What they are measured in.
        tuned: The tuned model's predictions.
        training: What may be known beforehand.

    Returns:
        The baselines that there are.
    """
    answers = trivial_answers(training, tuned.predictions)
    return tuple(_baseline(name, scale, tuned, texts) for name, texts in answers.items())


def _baseline(name: str, scale: Scale, tuned: PredictionSet, answers: Sequence[str]) -> Baseline:
    references = [row.reference for row in tuned.predictions]
    predictions = [row.prediction for row in tuned.predictions]
    if scale.metric in CORPUS_METRICS:
        first, _, p_value = sacrebleu_interval_and_p_value(
            scale.metric, references, answers, predictions
        )
        return Baseline(name, first.value, scale.tuned, p_value)
    if scale.own is not None:
        values = scale.own.values(references, answers, [row.prompt for row in tuned.predictions])
    elif scale.metric in EXAMPLE_METRICS:
        values = example_values(scale.metric, references, answers)
    else:
        values = example_values("exact_match", references, answers)
    value = float(values.mean())
    if scale.metric == "macro_f1":
        value = _macro_f1(references, answers, tuned.info.labels)
    given = scale.tuned_values
    if given is None:
        given = example_values("exact_match", references, predictions)
    return Baseline(name, value, scale.tuned, paired_p_value(values, given))


def _macro_f1(references: Sequence[str], answers: Sequence[str], labels: Sequence[str]) -> float:
    """Computes the mean F1 of the labels that occur, as `classification_resampling.py` does."""
    from sklearn.metrics import f1_score

    truth = [reference.strip() for reference in references]
    occurring = [label for label in labels if label in set(truth)]
    given = [answer.strip() for answer in answers]
    return float(f1_score(truth, given, labels=occurring, average="macro", zero_division=0))


def best_of(baselines: Sequence[Baseline]) -> Baseline | None:
    """Finds the baseline with the greatest value; None where there is none."""
    return max(baselines, key=lambda baseline: baseline.value, default=None)
