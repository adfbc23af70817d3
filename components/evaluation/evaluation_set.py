"""An evaluation set in tokens: what a model is asked, and what would be right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from kfp_llm_tuning.components.common.labels import are_labels
from kfp_llm_tuning.components.data.artifacts import Record
from kfp_llm_tuning.components.data.rendering.control_tokens import without_marks
from kfp_llm_tuning.components.data.rendering.tokenization import Tokenization, Tokens


@dataclass(frozen=True)
class EvaluationSet:
    """An evaluation set in tokens.

    Attributes:
        records: The set, as preprocessing wrote it.
        references: The right answers.
        prompts: Tokens of the prompts.
        completions: Tokens of the right answers, the end included.
        stop_tokens: Tokens that end an answer.
        labels: The labels of a classification task; empty for generation.
        label_tokens: Tokens of each label, the end included.
    """

    records: Sequence[Record]
    references: Sequence[str]
    prompts: Sequence[Tokens]
    completions: Sequence[Tokens]
    stop_tokens: Sequence[int]
    labels: Sequence[str]
    label_tokens: Sequence[Sequence[int]]


def encode_evaluation_set(
    records: Sequence[Record],
    training_completions: Sequence[str],
    tokenization: Tokenization,
) -> EvaluationSet:
    """Tokenises an evaluation set.

    Args:
        records: The set.
        training_completions: Outputs of the training set, to find labels.
        tokenization: Of the model that is asked.

    Returns:
        The set in tokens.
    """
    completions = [record.completion for record in records]
    counts = Counter([*completions, *training_completions])
    labels = sorted(counts) if are_labels(counts) else []
    return EvaluationSet(
        records=records,
        references=[without_marks(completion) for completion in completions],
        prompts=tokenization.prompts(
            [record.prompt for record in records], [record.head for record in records]
        ),
        completions=tokenization.completions(completions),
        stop_tokens=tokenization.stop_token_ids,
        labels=[without_marks(label) for label in labels],
        label_tokens=[tokens.ids for tokens in tokenization.completions(labels)],
    )
