"""The answers of both models to the same prompt, side by side."""

from __future__ import annotations

from dataclasses import dataclass

from kfp_llm_tuning.components.evaluation.artifacts import PredictionSet
from kfp_llm_tuning.components.evaluation.metric_comparison import PairedValues


@dataclass(frozen=True)
class Example:
    """One row of the evaluation set with both answers.

    Attributes:
        line: Line of the evaluation set, from 1.
        turn: Which assistant message of a conversation, from 0.
        prompt: What both models were given.
        question: Its last message alone; empty where it is not known.
        reference: What is right.
        base: The base model's answer.
        tuned: The tuned model's answer.
        score_name: The metric of the two scores.
        base_score: Its value of the base answer.
        tuned_score: Its value of the tuned answer.
        tuned_likelihood: Mean log-likelihood of a reference token under the tuned model.
    """

    line: int
    turn: int
    prompt: str
    question: str
    reference: str
    base: str
    tuned: str
    score_name: str
    base_score: float
    tuned_score: float
    tuned_likelihood: float


def pair_answers(
    base: PredictionSet, tuned: PredictionSet, metric: str, values: PairedValues
) -> list[Example]:
    """Puts both models' answers side by side.

    Args:
        base: Predictions of the base model.
        tuned: Predictions of the tuned model for the same evaluation set.
        metric: What single answers are held against.
        values: Its values.

    Returns:
        One example a row of the set, in its order.
    """
    return [
        Example(
            line=after.line,
            turn=after.turn,
            prompt=after.prompt,
            question=after.question,
            reference=after.reference,
            base=before.prediction,
            tuned=after.prediction,
            score_name=metric,
            base_score=float(values.base[row]),
            tuned_score=float(values.tuned[row]),
            tuned_likelihood=after.reference_log_likelihood / after.reference_tokens,
        )
        for row, (before, after) in enumerate(zip(base.predictions, tuned.predictions, strict=True))
    ]
