"""How sure a value and a difference are: confidence intervals and paired tests, seeded, vectorised.

Sources: Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference" (right
or wrong); Efron 1987, "Better Bootstrap Confidence Intervals" (BCa); Efron and Tibshirani 1993, "An
Introduction to the Bootstrap", chapters 12 (studentised) and 13 (percentile); Noreen 1989,
"Computer-Intensive Methods for Testing Hypotheses" (approximate randomisation), with the +1 of
Phipson and Smyth 2010, "Permutation P-values Should Never Be Zero"; McNemar 1947 in its exact form
(binomial test on the pairs that differ); Koehn 2004, "Statistical Significance Tests for Machine
Translation Evaluation", by sacrebleu for BLEU and chrF.
"""

from __future__ import annotations

import math
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
_ENDS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
# Up to here percentiles of resamples cover the truth too seldom (tests/components/evaluation/
# test_coverage.py), and the corrections cost little.
FEW_EXAMPLES = 256
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


def mean_interval(values: NDArray[np.float64]) -> Interval:
    """Computes the interval of a mean.

    Right or wrong gets Wilson's interval; so do values between 0 and 1 that are all equal, of which
    no resample differs: it holds for any such values, since none vary more than right and wrong do.

    Args:
        values: One value an example, at least one.

    Returns:
        The interval of ``CONFIDENCE``; within 0 and 1 where the values are.
    """
    if np.isin(values, (0, 1)).all():
        return wilson_interval(float(values.mean()), len(values))
    estimates = np.concatenate([values[drawn].mean(axis=1) for drawn in _resamples(len(values))])
    mean, without_each = float(values.mean()), (values.sum() - values) / max(len(values) - 1, 1)
    if values.min() >= 0 and values.max() <= 1:
        return interval_of_resamples(estimates, mean, without_each)
    # Of a scale without ends nothing is known where no resample differs.
    low, high = np.quantile(estimates, _shares(estimates, mean, without_each))
    return Interval(float(low), float(high))


def ratio_interval(values: NDArray[np.float64], weights: NDArray[np.float64]) -> Interval:
    """Computes the interval of a ratio of sums without an upper bound, such as a loss a token.

    Studentised where examples are few: losses have long tails, and a few examples show too little
    of them for the resamples alone.

    Args:
        values: One value an example, 0 or more, at least one.
        weights: What the sum of values is divided by the sum of, such as token counts.

    Returns:
        The interval of ``CONFIDENCE``; its low end is not below 0.
    """
    ratio = float(values.sum() / weights.sum())
    error = float(_ratio_error(values, weights))
    ratios, errors = [], []
    for drawn in _resamples(len(values)):
        ratios.append(values[drawn].sum(axis=1) / weights[drawn].sum(axis=1))
        errors.append(_ratio_error(values[drawn], weights[drawn]))
    if len(values) > FEW_EXAMPLES or not error:
        low, high = np.quantile(np.concatenate(ratios), _ENDS)
    else:
        spread = np.concatenate(errors)
        # A resample of one example only says nothing of the spread.
        told = spread > 0
        scores = (np.concatenate(ratios)[told] - ratio) / spread[told]
        low, high = ratio - error * np.quantile(scores, _ENDS[::-1])
    return Interval(max(float(low), 0.0), float(high))


def _ratio_error(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Computes the standard error of sums' ratio along the last axis, by linearisation."""
    count = values.shape[-1]
    ratio = values.sum(axis=-1, keepdims=True) / weights.sum(axis=-1, keepdims=True)
    residuals = (values - ratio * weights) / weights.mean(axis=-1, keepdims=True)
    error: NDArray[np.float64] = np.sqrt((residuals**2).sum(axis=-1) / (count * max(count - 1, 1)))
    return error


def wilson_interval(share: float, examples: int) -> Interval:
    """Computes Wilson's score interval.

    Args:
        share: Of the examples, how many are right; from 0 to 1.
        examples: How many there are, at least one.

    Returns:
        The interval of ``CONFIDENCE``.
    """
    from scipy.stats import norm

    z = float(norm.ppf(_ENDS[1]))
    middle = share + z**2 / (2 * examples)
    half = z * math.sqrt(share * (1 - share) / examples + (z / (2 * examples)) ** 2)
    scale = 1 + z**2 / examples
    # At the ends of the range rounding would leave some 1e-18.
    low = (middle - half) / scale if share > 0 else 0.0
    high = (middle + half) / scale if share < 1 else 1.0
    return Interval(max(low, 0.0), min(high, 1.0))


def interval_of_resamples(
    estimates: NDArray[np.float64],
    value: float,
    without_each: NDArray[np.float64],
    most: float = 1.0,
) -> Interval:
    """Computes the interval of a metric between 0 and a largest value from its resamples.

    BCa where examples are few, percentiles where they are many and both agree.

    Args:
        estimates: The metric of every resample.
        value: The metric of the set itself.
        without_each: The metric of the set without one example, for each; unused where examples
            are more than ``FEW_EXAMPLES``.
        most: The metric's largest value.

    Returns:
        The interval of ``CONFIDENCE``; Wilson's where no resample differs.
    """
    examples = len(without_each)
    if np.ptp(estimates) == 0:
        found = wilson_interval(value / most, examples)
        return Interval(found.low * most, found.high * most)
    shares = _shares(estimates, value, without_each)
    low, high = np.quantile(estimates, shares).clip(0.0, most)
    return Interval(float(low), float(high))


def _shares(
    estimates: NDArray[np.float64], value: float, without_each: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Computes which quantiles of the resamples are the ends."""
    if len(without_each) > FEW_EXAMPLES:
        return np.array(_ENDS)
    return _bca_shares(estimates, value, without_each)


def _bca_shares(
    estimates: NDArray[np.float64], value: float, without_each: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Computes these quantiles as in Efron 1987, section 3."""
    from scipy.stats import norm

    below = (estimates < value).mean() + (estimates == value).mean() / 2
    bias = norm.ppf(np.clip(below, 1 / len(estimates), 1 - 1 / len(estimates)))
    away = without_each.mean() - without_each
    spread = (away**2).sum() ** 1.5
    acceleration = (away**3).sum() / (6 * spread) if spread else 0.0
    shifted = bias + norm.ppf(_ENDS)
    shares: NDArray[np.float64] = norm.cdf(bias + shifted / (1 - acceleration * shifted))
    return shares


def _resamples(examples: int) -> Iterator[NDArray[np.int_]]:
    """Draws the rows of every resample, some resamples at once; shape (resamples, examples)."""
    generator = np.random.default_rng(SEED)
    for rows in _chunks(RESAMPLES, examples):
        yield generator.integers(examples, size=(rows, examples))


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

    sacrebleu's own interval is its resamples' mean and half their spread to both sides, which
    leaves the metric's range; the ends are therefore taken from the resamples.

    Args:
        metric: A name of ``CORPUS_METRICS``.
        references: What is right, at least one text.
        first: One system's texts.
        second: The other's.

    Returns:
        Both values, their intervals, and the p-value of approximate randomisation.
    """
    from sacrebleu.significance import PairedTest

    from kfp_llm_tuning.components.evaluation.text_metrics import (
        LARGEST_CORPUS_SCORE,
        corpus_metric,
    )

    _, results = PairedTest(
        [("first", list(first)), ("second", list(second))],
        {metric: corpus_metric(metric)},
        [list(references)],
        test_type="ar",
        n_samples=_CORPUS_TRIALS,
        n_ar_confidence=-1,
    )()
    values = next(result for name, result in results.items() if name != "System")
    # BLEU of equal texts is above 100 in the last digits.
    scores = [min(float(value.score), LARGEST_CORPUS_SCORE) for value in values]
    estimates = [
        Estimate(score, _corpus_interval(metric, references, texts, score))
        for score, texts in zip(scores, (first, second), strict=True)
    ]
    # Of systems whose every resample is equal sacrebleu says 1 / (trials + 1).
    equal = estimates[0] == estimates[1]
    return estimates[0], estimates[1], 1.0 if equal else float(values[1].p_value)


def _corpus_interval(
    metric: str, references: Sequence[str], texts: Sequence[str], score: float
) -> Interval:
    from kfp_llm_tuning.components.evaluation.text_metrics import (
        LARGEST_CORPUS_SCORE,
        corpus_metric,
    )

    sacrebleu = corpus_metric(metric)
    # Counts of each text, whose sum is all that the metric needs; sacrebleu offers them to its own
    # significance tests only.
    counts = np.array(
        sacrebleu._extract_corpus_statistics(list(texts), [list(references)]), dtype=float
    )

    def scores(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([sacrebleu._compute_score_from_stats(row).score for row in sums])

    examples = len(texts)
    drawn = np.random.default_rng(SEED).multinomial(
        examples, np.full(examples, 1 / examples), size=_CORPUS_TRIALS
    )
    without_each = np.zeros(examples)
    if 1 < examples <= FEW_EXAMPLES:
        without_each = scores(counts.sum(axis=0) - counts)
    return interval_of_resamples(scores(drawn @ counts), score, without_each, LARGEST_CORPUS_SCORE)
