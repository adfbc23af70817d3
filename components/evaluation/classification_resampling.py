"""Intervals and paired tests of the classification metrics that are no mean over the examples.

Resampling weighs the examples anew, thousands of times. Scores are therefore sorted once, and every
metric is a function of the weights alone; with equal weights it is scikit-learn's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kfp_llm_tuning.components.evaluation.statistics import (
    FEW_EXAMPLES,
    RESAMPLES,
    SEED,
    Interval,
    interval_of_resamples,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLED_METRICS = ("macro_f1", "auPrc", "auRoc")
_TRIALS = 1000
_TOLERANCE = 1e-9


class WeightedClassification:
    """One model's classification of weighted examples."""

    def __init__(self, truth: NDArray[np.int_], probabilities: NDArray[np.float64]) -> None:
        """Sorts the scores.

        Args:
            truth: Number of the right label of each example.
            probabilities: Shape (examples, labels).
        """
        self._truth = truth
        self._labels = probabilities.shape[1]
        self._chosen = probabilities.argmax(axis=1)
        scores = probabilities.ravel()
        order = np.argsort(-scores, kind="stable")
        self._example = order // self._labels
        self._is_truth = order % self._labels == truth[self._example]
        # A threshold takes in all that score alike.
        self._ends = np.flatnonzero(np.append(np.diff(scores[order]), 1.0))

    def measure(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Computes the metrics.

        Args:
            weights: One an example, 0 or more.

        Returns:
            Values of ``RESAMPLED_METRICS``.
        """
        return np.array([self._macro_f1(weights), *self._areas(weights)])

    def _macro_f1(self, weights: NDArray[np.float64]) -> float:
        """Computes the mean F1 of the labels that occur."""
        is_right = self._chosen == self._truth
        right = np.bincount(self._truth, weights * is_right, self._labels)
        occurs = np.bincount(self._truth, weights, self._labels)
        given = np.bincount(self._chosen, weights, self._labels)
        there = occurs > 0
        return float((2 * right[there] / (occurs + given)[there]).mean())

    def _areas(self, weights: NDArray[np.float64]) -> tuple[float, float]:
        """Computes the areas under the precision-recall and the ROC curve, micro-averaged."""
        each = weights[self._example]
        found = np.cumsum(each * self._is_truth)[self._ends]
        taken = np.cumsum(each)[self._ends]
        precision = np.divide(found, taken, out=np.zeros_like(found), where=taken > 0)
        false = taken - found
        average_precision = float((np.diff(found, prepend=0.0) * precision).sum() / found[-1])
        heights = found - np.diff(found, prepend=0.0) / 2
        area = float((np.diff(false, prepend=0.0) * heights).sum() / (found[-1] * false[-1]))
        return average_precision, area


def bootstrap_intervals(
    truth: NDArray[np.int_], probabilities: NDArray[np.float64]
) -> list[Interval]:
    """Computes bootstrap intervals.

    Args:
        truth: Number of the right label of each example.
        probabilities: Shape (examples, labels).

    Returns:
        One interval for each of ``RESAMPLED_METRICS``.
    """
    model = WeightedClassification(truth, probabilities)
    generator = np.random.default_rng(SEED)
    examples = len(truth)
    equal = np.full(examples, 1 / examples)
    estimates = np.array(
        [
            model.measure(generator.multinomial(examples, equal).astype(float))
            for _ in range(RESAMPLES)
        ]
    )
    whole = np.ones(examples)
    without_each = np.zeros((examples, len(RESAMPLED_METRICS)))
    if 1 < examples <= FEW_EXAMPLES:
        without_each = np.array([model.measure(row) for row in whole - np.eye(examples)])
    return [
        interval_of_resamples(resampled, float(value), left_out)
        for resampled, value, left_out in zip(
            estimates.T, model.measure(whole), without_each.T, strict=True
        )
    ]


def paired_p_values(
    truth: NDArray[np.int_], first: NDArray[np.float64], second: NDArray[np.float64]
) -> list[float]:
    """Tests by approximate randomisation whether two models differ: examples swap their models.

    Args:
        truth: Number of the right label of each example.
        first: One model's probabilities, shape (examples, labels).
        second: The other's.

    Returns:
        For each of ``RESAMPLED_METRICS`` the probability of a difference as large as this if the
        models were equal.
    """
    both = WeightedClassification(np.tile(truth, 2), np.concatenate([first, second]))
    generator = np.random.default_rng(SEED)

    def difference(stays: NDArray[np.bool_]) -> NDArray[np.float64]:
        one = np.concatenate([stays, ~stays]).astype(float)
        return np.abs(both.measure(one) - both.measure(1 - one))

    observed = difference(np.ones(len(truth), bool))
    as_large = np.zeros(len(observed))
    for _ in range(_TRIALS):
        as_large += difference(generator.random(len(truth)) < 0.5) >= observed - _TOLERANCE
    return [float(p_value) for p_value in (as_large + 1) / (_TRIALS + 1)]
