"""How many steps a run takes: as given, so many epochs, or what its task is advised."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.wording import counted
from kfp_llm_tuning.components.data.tasks import Task
from kfp_llm_tuning.components.parameters.pipeline import TEXT

# Passes that are advised where the task's range allows it: the middle of the three to five with
# which hosted tuning services begin.
ADVISED_EPOCHS = 4


class StepRange(NamedTuple):
    """The fewest and the most steps that a task is advised."""

    fewest: int
    most: int


# The documentation of the published templates: classification 100 to 500 steps, summarisation 200
# to 1,000, extractive question answering 100 to 500, chat 1,000 for its 200 conversations and more.
# Fewer conversations get fewer steps, down to summarisation's, whose answers are texts too; so get
# other texts, of which it says nothing.
ADVISED_STEPS: Mapping[Task, StepRange] = {
    Task.CLASSIFICATION: StepRange(100, 500),
    Task.SUMMARISATION: StepRange(200, 1000),
    Task.EXTRACTIVE_QUESTION_ANSWERING: StepRange(100, 500),
    Task.CHAT: StepRange(200, 1000),
    Task.GENERATION: StepRange(200, 1000),
}


@dataclass(frozen=True)
class RunLength:
    """What a request says of a run's length.

    Attributes:
        train_steps: Steps as given, or the method's own.
        epochs: Passes in their place; 0: the steps decide, negative: the task does.
    """

    train_steps: int
    epochs: float = 0.0


@dataclass(frozen=True)
class TrainingSteps:
    """How many steps a run takes, and why.

    Attributes:
        steps: Batches.
        reason: Where they come from, in a sentence without its end; empty where they were given.
    """

    steps: int
    reason: str = ""


def said_twice() -> Problem:
    """Says that a request gives both steps and epochs."""
    what = "epochs and train_steps exclude one another."
    return Problem(what, "epochs, train_steps", fix="Give one of them.")


def training_steps(length: RunLength, task: Task, examples: int, batch_size: int) -> TrainingSteps:
    """Settles the steps of a run whose data has been counted.

    Args:
        length: What is asked for.
        task: What the data asks the model to do.
        examples: Training examples, at least one: of chat, the answers.
        batch_size: Examples a step.

    Returns:
        The steps.

    Raises:
        UserError: If so many epochs are more steps than a run may have.
    """
    if not length.epochs:
        return TrainingSteps(length.train_steps)
    if length.epochs < 0:
        return _advised(task, examples, batch_size)
    steps = _of_epochs(length.epochs, examples, batch_size)
    most = TEXT["train_steps"].maximum
    if most is not None and steps > most:
        passes = f"{counted(length.epochs, 'epoch')} of {counted(examples, 'example')}"
        what = f"{passes} are {counted(steps, 'step')}."
        raise UserError(Problem(what, "epochs", f"at most {most:,} steps", "Lower epochs."))
    return TrainingSteps(steps, f"{counted(length.epochs, 'epoch')}, as given")


def _advised(task: Task, examples: int, batch_size: int) -> TrainingSteps:
    wanted = _of_epochs(ADVISED_EPOCHS, examples, batch_size)
    fewest, most = ADVISED_STEPS[task]
    steps = min(max(wanted, fewest), most)
    reason = (
        f"chosen for {task}, the task found in the data: {counted(ADVISED_EPOCHS, 'epoch')} are "
        f"{counted(wanted, 'step')}, and {fewest:,} to {most:,} are advised"
    )
    return TrainingSteps(steps, reason)


def _of_epochs(epochs: float, examples: int, batch_size: int) -> int:
    """Counts the steps of so many epochs, the last one whole; 0.1 is a tenth."""
    return math.ceil(Fraction(repr(epochs)) * examples / batch_size)
