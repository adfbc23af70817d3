"""A sample of the training set: what trivial baselines know, in bounded memory."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.data.artifacts import read_records
from kfp_llm_tuning.components.data.rendering.control_tokens import without_marks

# A majority shows in so many examples, and the nearest of so many is found in seconds.
MOST_EXAMPLES = 10_000
# Of a longer prompt its two ends: the question stands at one of them.
_END_CHARACTERS = 1_000
_SEED = 20_231_114


@dataclass(frozen=True)
class TrainingSample:
    """Some of the training examples, or all.

    Attributes:
        prompts: What is asked, its middle left out where it is long.
        answers: What is to be answered, in the same order.
    """

    prompts: Sequence[str] = ()
    answers: Sequence[str] = ()


def read_training_sample(training_records: Path) -> TrainingSample:
    """Draws examples, each with the same chance and the same in every run (Vitter's algorithm R).

    Args:
        training_records: Output folder of ``preprocess-dataset``.

    Returns:
        Up to ``MOST_EXAMPLES`` of its examples.

    Raises:
        UserError: If the folder is no such output.
    """
    generator = random.Random(_SEED)
    drawn: list[tuple[str, str]] = []
    try:
        for number, record in enumerate(read_records(training_records)):
            slot = number if number < MOST_EXAMPLES else generator.randrange(number + 1)
            if slot >= MOST_EXAMPLES:
                continue
            drawn[slot : slot + 1] = [(ends(record.prompt), without_marks(record.completion))]
    except (OSError, ValueError) as error:
        raise UserError(
            Problem(
                f"{training_records} holds no records: {error}",
                "training_records",
                "an output of preprocess-dataset",
            )
        ) from error
    prompts, answers = zip(*drawn, strict=True) if drawn else ((), ())
    return TrainingSample(prompts, answers)


def ends(prompt: str) -> str:
    """Gives a prompt without the middle of a long one."""
    text = without_marks(prompt)
    if len(text) <= 2 * _END_CHARACTERS:
        return text
    return f"{text[:_END_CHARACTERS]} {text[-_END_CHARACTERS:]}"
