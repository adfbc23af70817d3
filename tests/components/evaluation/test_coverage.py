"""How often intervals cover the truth, by simulation: a minute or two."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from kfp_llm_tuning.components.evaluation.statistics import (
    Interval,
    mean_interval,
    ratio_interval,
    sacrebleu_interval_and_p_value,
)

Sample = Callable[[np.random.Generator, int], NDArray[np.float64]]


def right_or_wrong(generator: np.random.Generator, examples: int) -> NDArray[np.float64]:
    return (generator.random(examples) < 0.9).astype(float)


def answers(generator: np.random.Generator, examples: int) -> NDArray[np.float64]:
    """Token F1 of short answers: wrong, right or in between."""
    kind, between = generator.random((2, examples))
    return np.where(kind < 0.15, 0.0, np.where(kind < 0.65, 1.0, between))


def mostly_right(generator: np.random.Generator, examples: int) -> NDArray[np.float64]:
    kind, between = generator.random((2, examples))
    return np.where(kind < 0.85, 1.0, between)


def losses(generator: np.random.Generator, examples: int) -> NDArray[np.float64]:
    return generator.lognormal(size=examples)


def loss_interval(values: NDArray[np.float64]) -> Interval:
    return ratio_interval(values, np.ones(len(values)))


@pytest.mark.slow
@pytest.mark.parametrize("examples", [10, 30, 100])
@pytest.mark.parametrize(
    ("sample", "truth", "interval", "least"),
    [
        (right_or_wrong, 0.9, mean_interval, 0.92),
        (answers, 0.675, mean_interval, 0.92),
        # Ten examples that show a tail too seldom: percentiles cover 0.69 and 0.81 of these two.
        (mostly_right, 0.925, mean_interval, 0.88),
        (losses, np.exp(0.5), loss_interval, 0.88),
    ],
)
def test_the_truth_is_covered_as_often_as_promised(
    sample: Sample,
    truth: float,
    interval: Callable[[NDArray[np.float64]], Interval],
    least: float,
    examples: int,
) -> None:
    generator = np.random.default_rng(0)
    trials = 500
    found = [interval(sample(generator, examples)) for _ in range(trials)]
    covered = sum(each.low <= truth <= each.high for each in found) / trials
    assert least <= covered <= 0.995


@pytest.mark.slow
@pytest.mark.parametrize("examples", [10, 30])
def test_bleu_is_covered(examples: int) -> None:
    generator = np.random.default_rng(0)

    def corpus(size: int) -> tuple[list[str], list[str]]:
        """References, and answers of which a fifth has its last words wrong."""
        references = [
            " ".join(f"w{word}" for word in generator.integers(0, 50, 12)) for _ in range(size)
        ]
        return references, [
            text if generator.random() > 0.2 else f"{text[:20]} something else"
            for text in references
        ]

    def estimate(size: int) -> tuple[float, Interval]:
        references, texts = corpus(size)
        found, _, _ = sacrebleu_interval_and_p_value("bleu", references, texts, texts)
        return found.value, found.interval

    truth = np.mean([estimate(250)[0] for _ in range(4)])
    found = [estimate(examples)[1] for _ in range(100)]
    covered = np.mean([each.low <= truth <= each.high for each in found])
    assert covered >= 0.85
    assert all(0 <= each.low <= each.high <= 100 for each in found)
