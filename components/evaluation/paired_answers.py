"""The answers of both models to the same prompt, side by side."""

from __future__ import annotations

from dataclasses import dataclass

from kfp_llm_tuning.components.evaluation.artifacts import PredictionSet
from kfp_llm_tuning.components.evaluation.text_metrics import TextScores


@dataclass(frozen=True)
class Example:
    """One row of the evaluation set with both answers.

    Attributes:
        line: Line of the evaluation set, from 1.
        turn: Which assistant message of a conversation, from 0.
        prompt: What both models were given.
        reference: What is right.
        base: The base model's answer.
        tuned: The tuned model's answer.
        base_score: Exact match (classification) or token F1 (generation) of the base answer.
        tuned_score: The same of the tuned answer.
        tuned_likelihood: Mean log-likelihood of a reference token under the tuned model.
    """

    line: int
    turn: int
    prompt: str
    reference: str
    base: str
    tuned: str
    base_score: float
    tuned_score: float
    tuned_likelihood: float


def pair_answers(
    base: PredictionSet, tuned: PredictionSet, base_scores: TextScores, tuned_scores: TextScores
) -> list[Example]:
    """Puts both models' answers side by side.

    Args:
        base: Predictions of the base model.
        tuned: Predictions of the tuned model for the same evaluation set.
        base_scores: What the metrics say of ``base``.
        tuned_scores: What they say of ``tuned``.

    Returns:
        One example a row of the set, in its order.
    """
    score = "exact_match" if tuned.info.labels else "token_f1"
    return [
        Example(
            line=after.line,
            turn=after.turn,
            prompt=after.prompt,
            reference=after.reference,
            base=before.prediction,
            tuned=after.prediction,
            base_score=float(base_scores.examples[score][row]),
            tuned_score=float(tuned_scores.examples[score][row]),
            tuned_likelihood=after.reference_log_likelihood / after.reference_tokens,
        )
        for row, (before, after) in enumerate(zip(base.predictions, tuned.predictions, strict=True))
    ]
