"""An evaluation set in tokens: what a model is asked, and what would be right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from kfp_llm_tuning.components.data.artifacts import Record
from kfp_llm_tuning.components.data.rendering.control_tokens import without_marks
from kfp_llm_tuning.components.data.rendering.tokenization import Tokenization, Tokens
from kfp_llm_tuning.components.data.tasks import (
    MOST_LABELS,
    Task,
    TaskFinder,
    can_be_label,
)


@dataclass(frozen=True)
class EvaluationSet:
    """An evaluation set in tokens.

    Attributes:
        records: The set, as preprocessing wrote it.
        references: The right answers.
        prompts: Tokens of the prompts.
        completions: Tokens of the right answers, the end included.
        stop_tokens: Tokens that end an answer.
        task: What the training and the evaluation set together ask for.
        labels: The labels of a classification task, two at least, sorted; empty for others.
        label_tokens: Tokens of each label, the end included.
    """

    records: Sequence[Record]
    references: Sequence[str]
    prompts: Sequence[Tokens]
    completions: Sequence[Tokens]
    stop_tokens: Sequence[int]
    task: Task
    labels: Sequence[str]
    label_tokens: Sequence[Sequence[int]]


def encode_evaluation_set(
    records: Sequence[Record], training_records: Iterable[Record], tokenization: Tokenization
) -> EvaluationSet:
    """Tokenises an evaluation set.

    Args:
        records: The set.
        training_records: Of the training set, to find the task and its labels; read once.
        tokenization: Of the model that is asked.

    Returns:
        The set in tokens.
    """
    finder = TaskFinder()
    # The first spelling of each label, white space around it aside, is the one that is scored.
    spellings: dict[str, str] = {}
    for record in chain(training_records, records):
        is_chat = record.head is not None
        finder.add(record.prompt, record.completion, record.turn if is_chat else 0)
        if can_be_label(record.completion) and len(spellings) <= MOST_LABELS:
            spellings.setdefault(record.completion.strip(), record.completion)
    labels = sorted(finder.labels) if len(finder.labels) > 1 else []
    completions = [record.completion for record in records]
    return EvaluationSet(
        records=records,
        references=[without_marks(completion) for completion in completions],
        prompts=tokenization.prompts(
            [record.prompt for record in records], [record.head for record in records]
        ),
        completions=tokenization.completions(completions, [record.end for record in records]),
        stop_tokens=tokenization.stop_token_ids,
        task=finder.task,
        labels=[without_marks(label) for label in labels],
        label_tokens=[
            tokens.ids
            for tokens in tokenization.completions([spellings[label] for label in labels])
        ],
    )
