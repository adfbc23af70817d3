"""Steps: given, of so many epochs, or advised for the task."""

from __future__ import annotations

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.data.tasks import Task
from kfp_llm_tuning.components.data.training_steps import (
    ADVISED_STEPS,
    RunLength,
    TrainingSteps,
    training_steps,
)


def test_given_steps_are_taken() -> None:
    assert training_steps(RunLength(7), Task.CHAT, 100, 8) == TrainingSteps(7)


@pytest.mark.parametrize(
    ("epochs", "examples", "batch_size", "steps", "reason"),
    [
        (1, 80, 8, 10, "1 epoch, as given"),
        (1.0, 81, 8, 11, "1 epoch, as given"),
        (0.1, 300, 10, 3, "0.1 epochs, as given"),
        (2.5, 3, 8, 1, "2.5 epochs, as given"),
        (3.0, 1_000_000, 8, 375_000, "3 epochs, as given"),
    ],
)
def test_epochs_are_steps_of_the_counted_data(
    epochs: float, examples: int, batch_size: int, steps: int, reason: str
) -> None:
    found = training_steps(RunLength(300, epochs), Task.GENERATION, examples, batch_size)
    assert found == TrainingSteps(steps, reason)


def test_epochs_that_never_end_are_refused() -> None:
    with pytest.raises(UserError, match=r"epochs: 1,000 epochs of 1,000,000 examples are 1,000,00"):
        training_steps(RunLength(300, 1000), Task.GENERATION, 1_000_000, 1)


@pytest.mark.parametrize(
    ("task", "examples", "steps"),
    [
        (Task.CLASSIFICATION, 10, 100),
        (Task.CLASSIFICATION, 500, 250),
        (Task.CLASSIFICATION, 50_000, 500),
        (Task.CHAT, 100_000, 1000),
        (Task.SUMMARISATION, 200, 200),
    ],
)
def test_four_epochs_within_what_the_documentation_advises(
    task: Task, examples: int, steps: int
) -> None:
    found = training_steps(RunLength(300, -1), task, examples, 8)
    assert found.steps == steps
    fewest, most = ADVISED_STEPS[task]
    assert f"chosen for {task}" in found.reason
    assert f"{fewest:,} to {most:,} are advised" in found.reason


def test_what_is_advised_counts_one_step_as_one() -> None:
    reason = training_steps(RunLength(300, -1), Task.CHAT, 2, 8).reason
    assert "4 epochs are 1 step, and 200 to 1,000 are advised" in reason


def test_every_task_is_advised() -> None:
    assert set(ADVISED_STEPS) == set(Task)
