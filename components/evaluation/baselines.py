"""Trivial baselines: answers that take no model. One that is not better has learned nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from kfp_llm_tuning.components.evaluation.artifacts import Prediction
from kfp_llm_tuning.components.evaluation.training_sample import TrainingSample, ends

MAJORITY_ANSWER = "majority_answer"
COPIED_INPUT = "copied_input"
NEAREST_EXAMPLE = "nearest_example"
BASELINE_TITLES: Mapping[str, str] = {
    MAJORITY_ANSWER: "majority answer",
    COPIED_INPUT: "copied input",
    NEAREST_EXAMPLE: "nearest example",
}

# Words, and the characters of scripts that write no spaces between words.
_TOKEN = r"(?u)[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+"
# What stands in most texts, as an instruction does, tells none from another, and costs most.
_MOST_COMMON = 0.5
# Terms are hashed to so many numbers: memory does not grow with the vocabulary.
_TERMS = 2**18
# Questions that are compared at once: each takes up to 8 bytes for every training example.
_QUESTIONS = 256


def trivial_answers(
    training: TrainingSample, predictions: Sequence[Prediction]
) -> dict[str, list[str]]:
    """Answers an evaluation set without a model.

    Args:
        training: What may be known beforehand; without any example only the input is copied.
        predictions: The evaluation set; at least one row.

    Returns:
        For each baseline an answer a row: ``majority_answer`` is the training set's most frequent
        one, ``copied_input`` the question itself, ``nearest_example`` the answer of the training
        example whose prompt is the most alike by TF-IDF, or the majority's where none is.
    """
    copied = [row.question or row.prompt for row in predictions]
    if not training.answers:
        return {COPIED_INPUT: copied}
    majority = majority_answer(training.answers)
    return {
        MAJORITY_ANSWER: [majority] * len(predictions),
        COPIED_INPUT: copied,
        NEAREST_EXAMPLE: [
            majority if position is None else training.answers[position]
            for position in _nearest(training.prompts, [ends(row.prompt) for row in predictions])
        ],
    }


def majority_answer(answers: Sequence[str]) -> str:
    """Finds the most frequent answer, white space around it aside; of equal ones the first."""
    [(answer, _)] = Counter(answer.strip() for answer in answers).most_common(1)
    return answer


def _nearest(known: Sequence[str], asked: Sequence[str]) -> list[int | None]:
    """Finds for each text the position of the known one that is the most alike; None: unlike all.

    Likeness is the cosine of TF-IDF vectors of words and pairs of words.
    """
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    counter = HashingVectorizer(
        token_pattern=_TOKEN,
        ngram_range=(1, 2),
        n_features=_TERMS,
        alternate_sign=False,
        norm=None,
        dtype=np.float32,
    )
    counts = counter.transform(known)
    telling = np.flatnonzero(counts.getnnz(axis=0) <= _MOST_COMMON * len(known))
    weights = TfidfTransformer(sublinear_tf=True)
    vectors = weights.fit_transform(counts[:, telling])
    positions: list[int | None] = []
    for start in range(0, len(asked), _QUESTIONS):
        questions = counter.transform(asked[start : start + _QUESTIONS])[:, telling]
        likeness = (weights.transform(questions) @ vectors.T).tocsr()
        best = np.asarray(likeness.argmax(axis=1)).ravel()
        alike = likeness.max(axis=1).toarray().ravel()
        positions += [
            int(row) if value > 0 else None for row, value in zip(best, alike, strict=True)
        ]
    return positions
