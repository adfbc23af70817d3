"""What a run logs, which step is its best and when it ends: the same, whatever computes."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.checkpoints import CheckpointDirectory
from kfp_llm_tuning.components.tuning.early_stopping import EarlyStopping
from kfp_llm_tuning.components.tuning.run_state import RunState
from kfp_llm_tuning.components.tuning.tensorboard_metrics import (
    EVALUATION_CORRECT,
    EVALUATION_COUNT,
    EVALUATION_LOSS,
    TRAIN_CORRECT,
    TRAIN_COUNT,
    TRAIN_LOSS,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verdict:
    """What follows from an evaluation.

    Attributes:
        save: Whether the step's checkpoint is wanted.
        stop: Whether training ends early.
    """

    save: bool
    stop: bool


class Course:
    """The course of one session of a run.

    Attributes:
        run_state: What is kept in checkpoints: evaluations, the best step, the end, the time.
    """

    def __init__(
        self, arguments: TuningArguments, checkpoints: CheckpointDirectory, *, bf16: bool
    ) -> None:
        """Begins at the run's beginning.

        Args:
            arguments: What is asked for.
            checkpoints: Where checkpoints go.
            bf16: Whether the run computes in bfloat16.
        """
        self.run_state = RunState(
            EarlyStopping(arguments.early_stopping_patience, arguments.early_stopping_tolerance),
            bf16=bf16,
        )
        self._arguments = arguments
        self._checkpoints = checkpoints
        self._tokens = 0  # Since the last logging.
        self._window_began = self._session_began = time.perf_counter()

    def restore(self, checkpoint: Path) -> list[float]:
        """Takes over what a checkpoint remembers.

        Args:
            checkpoint: A whole one.

        Returns:
            The sums since the last logging, over all processes.
        """
        bf16 = self.run_state.bf16
        self.run_state, sums = RunState.load(checkpoint)
        self.run_state.bf16 = bf16
        return sums

    def begin(self) -> None:
        """Starts the clocks."""
        self._window_began = self._session_began = time.perf_counter()

    def end(self) -> None:
        """Adds this session's time to the run's."""
        self.run_state = self.state_now()

    def state_now(self) -> RunState:
        """Gives the state with the training time until now."""
        passed = time.perf_counter() - self._session_began
        return dataclasses.replace(self.run_state, seconds=self.run_state.seconds + passed)

    def count(self, tokens: int) -> None:
        """Counts tokens that were trained on."""
        self._tokens += tokens

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Keeps the block's time out of the tokens a second."""
        began = time.perf_counter()
        yield
        self._window_began += time.perf_counter() - began

    def training_values(
        self, sums: Sequence[float], learning_rate: float, memory_bytes: int
    ) -> dict[str, float]:
        """Makes an entry of training for the log history, and begins the next one.

        Args:
            sums: Loss, correct predictions and predictions since the last logging, of all
                processes.
            learning_rate: Of the last step.
            memory_bytes: The most that was held.
        """
        loss, correct, count = sums
        now = time.perf_counter()
        values = {
            TRAIN_LOSS: loss / count,
            TRAIN_CORRECT: correct / count,
            TRAIN_COUNT: count,
            "learning_rate": learning_rate,
            "tokens_per_second": self._tokens / (now - self._window_began),
            "memory_bytes": memory_bytes,
        }
        self._tokens, self._window_began = 0, now
        return values

    def judge(self, step: int, accuracy: float) -> Verdict:
        """Takes an evaluation into account.

        Args:
            step: Steps done.
            accuracy: Fraction of label tokens that were predicted.
        """
        is_best = self.run_state.best.update(step, accuracy)
        save = is_best and self._arguments.enable_checkpoint_selection
        stopping = self.run_state.early_stopping
        stop = stopping.update(accuracy) and self._arguments.enable_early_stopping
        if stop:
            logger.info(
                "Early stopping at step %d: no rise for %d evaluations.",
                step,
                stopping.without_rise,
            )
        return Verdict(save or stop, stop)

    @property
    def kept_step(self) -> int:
        """The step whose checkpoint is kept besides the newest ones; 0 for none."""
        return self.run_state.best.step if self._arguments.enable_checkpoint_selection else 0

    def divergence(self, loss: float, step: int) -> UserError:
        """Makes the error for a loss, or a weight, that is no number any more.

        Args:
            loss: What was found.
            step: Steps done.
        """
        newest = self._checkpoints.newest()
        kept = f"The checkpoint of step {newest.step} is kept. " if newest else ""
        return UserError(
            Problem(
                f"the loss became {loss} by step {step}.",
                "learning_rate",
                f"less than {self._arguments.peak_learning_rate:g}",
                f"{kept}Lower learning_rate or learning_rate_multiplier (a third is a good "
                "first try) and begin in a new checkpoint folder.",
            )
        )


def evaluation_values(sums: Sequence[float]) -> dict[str, float]:
    """Makes the three evaluation tags.

    Args:
        sums: Loss, correct predictions and predictions of the whole set.
    """
    loss, correct, count = sums
    return {
        EVALUATION_LOSS: loss / count,
        EVALUATION_CORRECT: correct / count,
        EVALUATION_COUNT: count,
    }
