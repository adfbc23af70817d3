"""Every metric of both models, with its intervals and the test of their difference."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kfp_llm_tuning.components.common.metrics import METRICS
from kfp_llm_tuning.components.evaluation.classification_resampling import (
    RESAMPLED_METRICS,
    bootstrap_intervals,
    paired_p_values,
)
from kfp_llm_tuning.components.evaluation.statistics import (
    Interval,
    mean_interval,
    paired_p_value,
    ratio_interval,
    sacrebleu_interval_and_p_value,
)
from kfp_llm_tuning.components.evaluation.text_metrics import CORPUS_METRICS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kfp_llm_tuning.components.evaluation.artifacts import PredictionSet
    from kfp_llm_tuning.components.evaluation.classification_metrics import Classification

# Below this a difference is called more than chance.
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class MetricComparison:
    """One metric of both models.

    Attributes:
        name: Name of the metric: of ``METRICS``, or the user's own.
        base: The base model's value.
        tuned: The tuned model's value.
        base_interval: 95 % confidence interval of ``base``.
        tuned_interval: The same of ``tuned``.
        p_value: Of the paired test.
    """

    name: str
    base: float
    tuned: float
    base_interval: Interval
    tuned_interval: Interval
    p_value: float

    @property
    def better(self) -> bool:
        """Whether the tuned model's value is the better one."""
        if METRICS.get(self.name, True):
            return self.tuned > self.base
        return self.tuned < self.base

    @property
    def verdict(self) -> str:
        """Says ``better``, ``worse``, ``equal``, or that the difference may be chance."""
        if self.tuned == self.base:
            return "equal"
        if self.p_value >= SIGNIFICANCE:
            return "no clear difference"
        return "better" if self.better else "worse"


@dataclass(frozen=True)
class PairedValues:
    """A metric's value of every example.

    Attributes:
        base: Of the base model's answers; shape (examples,).
        tuned: Of the tuned model's answers, likewise.
    """

    base: NDArray[np.float64]
    tuned: NDArray[np.float64]


def compare_means(values: Mapping[str, PairedValues]) -> list[MetricComparison]:
    """Compares metrics that are means over the examples.

    Args:
        values: By the metrics' names.

    Returns:
        One comparison each.
    """
    return [
        MetricComparison(
            name,
            float(pair.base.mean()),
            float(pair.tuned.mean()),
            mean_interval(pair.base),
            mean_interval(pair.tuned),
            paired_p_value(pair.base, pair.tuned),
        )
        for name, pair in values.items()
    ]


def compare_corpus_metrics(base: PredictionSet, tuned: PredictionSet) -> list[MetricComparison]:
    """Compares metrics that are computed over the whole set at once."""
    references = [prediction.reference for prediction in tuned.predictions]
    texts = [[prediction.prediction for prediction in m.predictions] for m in (base, tuned)]
    comparisons = []
    for name in CORPUS_METRICS:
        first, second, p_value = sacrebleu_interval_and_p_value(name, references, *texts)
        comparisons.append(
            MetricComparison(
                name, first.value, second.value, first.interval, second.interval, p_value
            )
        )
    return comparisons


def compare_losses(base: PredictionSet, tuned: PredictionSet) -> list[MetricComparison]:
    """Compares the mean loss of a reference token, in nats, and its exponential."""
    tokens = np.array([float(row.reference_tokens) for row in tuned.predictions])
    before, after = (
        np.array([-row.reference_log_likelihood for row in model.predictions])
        for model in (base, tuned)
    )
    loss = _loss_comparison("loss", before, after, tokens)
    first, second = loss.base_interval, loss.tuned_interval
    perplexity = MetricComparison(
        "perplexity",
        _exponential(loss.base),
        _exponential(loss.tuned),
        Interval(_exponential(first.low), _exponential(first.high)),
        Interval(_exponential(second.low), _exponential(second.high)),
        loss.p_value,
    )
    return [loss, perplexity]


def _loss_comparison(
    name: str,
    base: NDArray[np.float64],
    tuned: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> MetricComparison:
    return MetricComparison(
        name,
        float(base.sum() / weights.sum()),
        float(tuned.sum() / weights.sum()),
        ratio_interval(base, weights),
        ratio_interval(tuned, weights),
        paired_p_value(base, tuned),
    )


def _exponential(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def label_accuracy(base: PredictionSet, tuned: PredictionSet) -> PairedValues:
    """Tells of every example whether its most likely label is right."""
    truth = _truth(tuned)
    first, second = (probabilities(model).argmax(axis=1) == truth for model in (base, tuned))
    return PairedValues(first.astype(float), second.astype(float))


def compare_classifications(
    base: PredictionSet, tuned: PredictionSet, first: Classification, second: Classification
) -> list[MetricComparison]:
    """Compares the metrics of labels' likelihoods that are no means over the examples.

    Args:
        base: Predictions of the base model, with the scores of labels.
        tuned: Those of the tuned model.
        first: The base model's metrics.
        second: The tuned model's.

    Returns:
        ``RESAMPLED_METRICS`` and the log loss.
    """
    truth = _truth(tuned)
    before, after = probabilities(base), probabilities(tuned)
    values = [(each.macro_f1, each.auprc, each.auroc) for each in (first, second)]
    resampled = zip(
        RESAMPLED_METRICS,
        *values,
        bootstrap_intervals(truth, before),
        bootstrap_intervals(truth, after),
        paired_p_values(truth, before, after),
        strict=True,
    )
    losses = [_label_losses(truth, model) for model in (before, after)]
    return [
        *(MetricComparison(*facts) for facts in resampled),
        _loss_comparison("logLoss", losses[0], losses[1], np.ones(len(truth))),
    ]


def probabilities(predicted: PredictionSet) -> NDArray[np.float64]:
    """Gives the probability of every label; shape (examples, labels)."""
    return np.array([row.probabilities for row in predicted.label_scores])


def _truth(predicted: PredictionSet) -> NDArray[np.int_]:
    numbers = {label: number for number, label in enumerate(predicted.info.labels)}
    return np.array([numbers[row.reference.strip()] for row in predicted.predictions])


def _label_losses(truth: NDArray[np.int_], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    # The same bound as scikit-learn's log_loss.
    least = np.finfo(shares.dtype).eps
    losses: NDArray[np.float64] = -np.log(
        shares[np.arange(len(shares)), truth].clip(least, 1 - least)
    )
    return losses
