"""The estimate of a run's remaining time."""

import pytest
from kfp import dsl

from kfp_llm_tuning.components.common.images import IMAGE
from kfp_llm_tuning.components.tuning.progress import describe
from kfp_llm_tuning.components.tuning.tensorboard_metrics import TRAIN_CORRECT, TRAIN_LOSS
from kfp_llm_tuning.pipelines.local_runs.run_progress import RunProgress, sure_tasks

TUNER = "large-language-model-tuner"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def do(progress: RunProgress, clock: Clock, task: str, seconds: float) -> None:
    progress.started(task)
    clock.now += seconds
    progress.finished(task, measured=True)


def test_nothing_is_foretold_before_tuning_has_a_speed(clock: Clock) -> None:
    progress = RunProgress(["validate-dataset", TUNER, "evaluate-model"], clock)
    do(progress, clock, "validate-dataset", 10)
    assert progress.seconds_left is None
    assert progress.share is None
    progress.started(TUNER)
    clock.now += 20
    entry = {"step": 110, TRAIN_LOSS: 1.0, TRAIN_CORRECT: 0.5, "tokens_per_second": 9.0}
    progress.update(TUNER, describe(entry, 300, 1.0))
    # It may have been resumed at step 100: one step told is no speed.
    assert progress.seconds_left is None


def test_tuning_counts_by_steps_and_the_rest_by_the_pace_so_far(clock: Clock) -> None:
    progress = RunProgress(["validate-dataset", TUNER, "evaluate-model"], clock)
    do(progress, clock, "validate-dataset", 10)  # Twice the typical time ...
    progress.started(TUNER)
    for step in (100, 110):
        clock.now += 20
        progress.update(TUNER, f"step {step}/130 | loss 1.0")
    clock.now += 5
    # ... so evaluate-model takes 8 s; 20 steps take 40 s, of which 5 have passed.
    assert progress.seconds_left == pytest.approx(35 + 8)
    assert progress.share == pytest.approx(55 / (55 + 43))
    assert (progress.ended, progress.tasks) == (1, 3)


def test_a_task_that_was_done_once_takes_as_long_again(clock: Clock) -> None:
    progress = RunProgress(["batch-predict", "batch-predict-2"], clock)
    do(progress, clock, "batch-predict-2", 100)
    progress.started("batch-predict")
    clock.now += 30
    assert progress.seconds_left == pytest.approx(70)
    progress.update("batch-predict", "100 of 400 prompts answered, 5.0 a second")
    clock.now += 10
    progress.update("batch-predict", "200 of 400 prompts answered, 10.0 a second")
    assert progress.seconds_left == pytest.approx(20)
    progress.update("batch-predict", "1 of 400 prompts scored for every label, 10.0 a second")
    assert progress.seconds_left == pytest.approx(60)


def test_what_was_done_before_is_no_measure(clock: Clock) -> None:
    progress = RunProgress(["validate-dataset", "evaluate-model"], clock)
    progress.started("validate-dataset")
    progress.finished("validate-dataset", measured=False)
    assert progress.seconds_left == pytest.approx(4)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def ask() -> bool:
    return True


@dsl.pipeline(name="inner")
def inner() -> None:
    ask()


def test_the_tasks_that_are_sure_to_come() -> None:
    @dsl.pipeline(name="outer")
    def outer() -> None:
        asked = ask()
        inner().after(asked)
        with dsl.If(asked.output == True):  # noqa: E712
            ask()
        with dsl.ParallelFor([1, 2]):
            ask()

    assert sure_tasks(outer) == ["ask", "ask"]
