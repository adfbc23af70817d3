"""Metrics of generated text, each the same as its reference library's to the last digits."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from rapidfuzz.distance import LCSseq

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROUGE_METRICS = ("rouge1", "rouge2", "rougeL", "rougeLsum")
# Means over the examples: each example has a value of its own.
EXAMPLE_METRICS = ("exact_match", "token_f1", *ROUGE_METRICS)
# Computed over the whole set at once, from 0 to the largest score.
CORPUS_METRICS = ("bleu", "chrf")
LARGEST_CORPUS_SCORE = 100.0

# rouge_score.tokenize: lower case, everything but a-z and 0-9 separates (without its stemmer).
_ROUGE_TOKEN = re.compile(r"[a-z0-9]+")
_ARTICLE = re.compile(r"\b(a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True)
class TextScores:
    """Values of every example.

    Attributes:
        examples: For each of ``EXAMPLE_METRICS`` the values from 0 to 1, shape (examples,).
        without_rouge_tokens: References in which ROUGE sees nothing, since they have neither a-z
            nor 0-9; their ROUGE is 0 whatever is predicted.
    """

    examples: dict[str, NDArray[np.float64]]
    without_rouge_tokens: int


def score_texts(references: Sequence[str], predictions: Sequence[str]) -> TextScores:
    """Computes the metrics that each example has on its own.

    Args:
        references: What is right, one text an example.
        predictions: What was predicted, in the same order.

    Returns:
        The values.
    """
    values: dict[str, list[float]] = {name: [] for name in EXAMPLE_METRICS}
    blind = 0
    for reference, prediction in zip(references, predictions, strict=True):
        values["exact_match"].append(exact_match(reference, prediction))
        values["token_f1"].append(token_f1(reference, prediction))
        for name, value in rouge(reference, prediction).items():
            values[name].append(value)
        blind += not _rouge_tokens(reference)
    return TextScores(
        {name: np.array(row, dtype=np.float64) for name, row in values.items()}, blind
    )


def example_values(
    metric: str, references: Sequence[str], predictions: Sequence[str]
) -> NDArray[np.float64]:
    """Computes one metric of every example.

    Args:
        metric: A name of ``EXAMPLE_METRICS``.
        references: What is right, one text an example.
        predictions: What was answered, in the same order.

    Returns:
        Values from 0 to 1; shape (examples,).
    """
    measures = {"exact_match": exact_match, "token_f1": token_f1}

    def value(reference: str, prediction: str) -> float:
        if metric in measures:
            return measures[metric](reference, prediction)
        return rouge(reference, prediction)[metric]

    return np.array(list(map(value, references, predictions)), dtype=np.float64)


def exact_match(reference: str, prediction: str) -> float:
    """Tells whether two texts are equal, white space around them aside; case counts.

    Unlike SQuAD's, it keeps punctuation and articles: ``pay_bill`` and ``paybill`` are two labels.
    """
    return float(reference.strip() == prediction.strip())


def token_f1(reference: str, prediction: str) -> float:
    """Computes the F1 of shared words, as SQuAD 2.0's evaluation script does.

    Words are compared in lower case, without punctuation and without "a", "an" and "the". Where one
    side has no word, the value is 1 if the other has none either, else 0.

    Args:
        reference: What is right.
        prediction: What was predicted.

    Returns:
        From 0 to 1.
    """
    expected, given = _squad_words(reference), _squad_words(prediction)
    if not expected or not given:
        return float(expected == given)
    shared = (Counter(expected) & Counter(given)).total()
    return _f_measure(shared, len(given), len(expected))


def rouge(reference: str, prediction: str) -> dict[str, float]:
    """Computes ROUGE-1, -2, -L and -Lsum (F-measure, no stemmer), equal to rouge-score's.

    ROUGE-Lsum takes each line for a sentence; of texts with one line it is ROUGE-L by definition,
    and of others it is computed by rouge-score.

    Args:
        reference: What is right.
        prediction: What was predicted.

    Returns:
        Values from 0 to 1 under ``ROUGE_METRICS``.
    """
    expected, given = _rouge_tokens(reference), _rouge_tokens(prediction)
    longest = _f_measure(LCSseq.similarity(expected, given), len(given), len(expected))
    one_line = "\n" not in reference and "\n" not in prediction
    return {
        "rouge1": _shared_ngrams(expected, given),
        "rouge2": _shared_ngrams(
            list(zip(expected, expected[1:], strict=False)),
            list(zip(given, given[1:], strict=False)),
        ),
        "rougeL": longest,
        "rougeLsum": longest
        if one_line
        else _rouge_lsum_scorer().score(reference, prediction)["rougeLsum"].fmeasure,
    }


def corpus_metric(name: str) -> Any:
    """Makes a metric of sacrebleu with sacrebleu's own defaults (BLEU: 13a, exp; chrF2).

    Args:
        name: One of ``CORPUS_METRICS``.

    Returns:
        A ``BLEU`` or ``CHRF`` object; its scores go from 0 to 100.
    """
    from sacrebleu.metrics import BLEU, CHRF

    return {"bleu": BLEU, "chrf": CHRF}[name]()


def _rouge_tokens(text: str) -> list[str]:
    return _ROUGE_TOKEN.findall(text.lower())


def _squad_words(text: str) -> list[str]:
    return _ARTICLE.sub(" ", text.lower().translate(_WITHOUT_PUNCTUATION)).split()


def _shared_ngrams(expected: Sequence[Any], given: Sequence[Any]) -> float:
    shared = (Counter(expected) & Counter(given)).total()
    return _f_measure(shared, len(given), len(expected))


def _f_measure(shared: int, given: int, expected: int) -> float:
    """Computes the harmonic mean of shared/given and shared/expected."""
    return 2 * shared / (given + expected) if shared else 0.0


@cache
def _rouge_lsum_scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeLsum"])
