"""How sure a difference is: confidence intervals and paired tests, seeded and vectorised.

Sources: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13 (percentile
interval); Noreen 1989, "Computer-Intensive Methods for Testing Hypotheses" (approximate
randomisation), with the +1 of Phipson and Smyth 2010, "Permutation P-values Should Never Be Zero";
McNemar 1947 in its exact form (binomial test on the pairs that differ); Koehn 2004, "Statistical
Significance Tests for Machine Translation Evaluation", by sacrebleu for BLEU and chrF.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEED = 12345  # sacrebleu's own
RESAMPLES = 2000
TRIALS = 10_000
# Each takes sacrebleu a loop in Python; its own default for intervals.
_CORPUS_TRIALS = 1000
CONFIDENCE = 0.95
# Random numbers held at once: bounds memory with many examples.
_CELLS_AT_ONCE = 2**22


@dataclass(frozen=True)
class Interval:
    """A confidence interval.

    Attributes:
        low: Lower end.
        high: Upper end.
    """

    low: float
    high: float


def bootstrap_interval(
    values: NDArray[np.float64], weights: NDArray[np.float64] | None = None
) -> Interval:
    """Computes the percentile bootstrap interval of a mean, or of a ratio of sums.

    Args:
        values: One value an example, at least one.
        weights: What the sum of values is divided by the sum of, such as token counts; None for
            the number of examples.

    Returns:
        The interval of ``CONFIDENCE``.
    """
    divisors = np.ones_like(values) if weights is None else weights
    estimates = []
    generator = np.random.default_rng(SEED)
    for rows in _chunks(RESAMPLES, len(values)):
        drawn = generator.integers(len(values), size=(rows, len(values)))
        estimates.append(values[drawn].sum(axis=1) / divisors[drawn].sum(axis=1))
    outside = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(estimates), [outside, 1 - outside])
    return Interval(float(low), float(high))


def paired_p_value(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Tests whether two systems differ on the same examples, two-sided.

    Values of 0 and 1 only (right or wrong) get McNemar's exact test, others approximate
    randomisation: the difference of each example changes its sign at random.

    Args:
        first: One value an example.
        second: The other system's, in the same order.

    Returns:
        The probability of a difference as large as this if the systems were equal.
    """
    differences = second - first
    changed = differences[differences != 0]
    if not len(changed):
        return 1.0
    if np.isin(first, (0, 1)).all() and np.isin(second, (0, 1)).all():
        from scipy.stats import binomtest

        return float(binomtest(int((changed > 0).sum()), len(changed)).pvalue)
    observed = abs(changed.sum())
    # Sums in another order differ in the last digits.
    tolerance = 1e-9 * np.abs(changed).sum()
    generator = np.random.default_rng(SEED)
    as_large = 0
    for rows in _chunks(TRIALS, len(changed)):
        signs = generator.choice(np.array([-1.0, 1.0]), size=(rows, len(changed)))
        as_large += int((np.abs(signs @ changed) >= observed - tolerance).sum())
    return (as_large + 1) / (TRIALS + 1)


def _chunks(total: int, width: int) -> Iterator[int]:
    """Splits rows so that no more than ``_CELLS_AT_ONCE`` numbers are drawn at once."""
    at_once = max(1, _CELLS_AT_ONCE // width)
    while total > 0:
        yield min(at_once, total)
        total -= at_once


@dataclass(frozen=True)
class Estimate:
    """A value with its confidence interval."""

    value: float
    interval: Interval


def sacrebleu_interval_and_p_value(
    metric: str, references: Sequence[str], first: Sequence[str], second: Sequence[str]
) -> tuple[Estimate, Estimate, float]:
    """Computes BLEU or chrF of two systems and tests them, all by sacrebleu.

    Args:
        metric: A name of ``CORPUS_METRICS``.
        references: What is right, at least one text.
        first: One system's texts.
        second: The other's.

    Returns:
        Both values, their bootstrap intervals, and the p-value of approximate randomisation.
    """
    from sacrebleu.significance import PairedTest

    from kfp_llm_tuning.components.evaluation.text_metrics import corpus_metric

    _, results = PairedTest(
        [("first", list(first)), ("second", list(second))],
        {metric: corpus_metric(metric)},
        [list(references)],
        test_type="ar",
        n_samples=_CORPUS_TRIALS,
        n_ar_confidence=_CORPUS_TRIALS,
    )()
    values = next(result for name, result in results.items() if name != "System")
    estimates = [
        Estimate(float(v.score), Interval(float(v.mean - v.ci), float(v.mean + v.ci)))
        for v in values
    ]
    # Of systems whose every resample is equal sacrebleu says 1 / (trials + 1).
    equal = estimates[0] == estimates[1]
    return estimates[0], estimates[1], 1.0 if equal else float(values[1].p_value)
