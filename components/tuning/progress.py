"""Shows a person steps done, loss, tokens a second and time left: a bar, or lines in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from typing import Any

from kfp_llm_tuning.components.common.log_pace import seconds_between_lines
from kfp_llm_tuning.components.common.speed_watch import SpeedWatch
from kfp_llm_tuning.components.tuning.tensorboard_metrics import (
    EVALUATION_CORRECT,
    EVALUATION_LOSS,
    TRAIN_CORRECT,
    TRAIN_LOSS,
)

logger = logging.getLogger(__name__)


class Progress:
    """Progress of one training session."""

    def __init__(self, steps: int, *, interactive: bool | None = None) -> None:
        """Prepares the display.

        Args:
            steps: Steps of the whole run.
            interactive: Whether to draw a bar; by default where standard output is a terminal.
        """
        self._steps = steps
        self._interactive = sys.stdout.isatty() if interactive is None else interactive
        self._bar: Any = None
        self._last_line = 0.0
        self._began = 0.0
        self._first_step = 0
        self._speed = SpeedWatch("tok/s")

    def begin(self, step: int) -> None:
        """Starts the clock.

        Args:
            step: Steps already done, by an earlier session.
        """
        self._began = time.monotonic()
        self._first_step = step
        if self._interactive:
            self._bar = _make_bar(self._steps, step)
            self._bar.start()

    def show(self, entry: Mapping[str, Any]) -> None:
        """Shows one entry of the trainer's log history."""
        if "tokens_per_second" in entry and (
            warning := self._speed.warning(entry["tokens_per_second"])
        ):
            logger.warning("%s", warning)
        text = describe(entry, self._steps, self._seconds_left(entry["step"]))
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=entry["step"], text=text)
            return
        now = time.monotonic()
        important = EVALUATION_LOSS in entry or entry["step"] == self._steps
        if important or now - self._last_line >= seconds_between_lines(now - self._began):
            self._last_line = now
            logger.info("%s", text)

    def end(self) -> None:
        """Takes the bar off the screen."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _seconds_left(self, step: int) -> float:
        done = step - self._first_step
        if done <= 0:
            return 0.0
        return (time.monotonic() - self._began) / done * (self._steps - step)


def describe(entry: Mapping[str, Any], steps: int, seconds_left: float) -> str:
    """Writes an entry as a line.

    Args:
        entry: An entry of the log history.
        steps: Steps of the whole run.
        seconds_left: Estimated time to the end.

    Returns:
        For example ``step 120/1000 | loss 0.412 | correct 0.910 | 12,345 tok/s | 2 min 10 s left``.
    """
    parts = [f"step {entry['step']}/{steps}"]
    if EVALUATION_LOSS in entry:
        parts.append(f"evaluation loss {entry[EVALUATION_LOSS]:.4f}")
        parts.append(f"evaluation correct {entry[EVALUATION_CORRECT]:.4f}")
        return " | ".join(parts)
    parts.append(f"loss {entry[TRAIN_LOSS]:.4f}")
    parts.append(f"correct {entry[TRAIN_CORRECT]:.3f}")
    parts.append(f"{entry['tokens_per_second']:,.0f} tok/s")
    parts.append(f"{format_seconds(seconds_left)} left")
    return " | ".join(parts)


def format_seconds(seconds: float) -> str:
    """Writes a duration with its two largest units, for example ``2 min 10 s``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _make_bar(steps: int, done: int) -> Any:
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as RichProgress

    bar = RichProgress(BarColumn(), TextColumn("{task.fields[text]}"), transient=False)
    bar.add_task("tuning", total=steps, completed=done, text=f"step {done}/{steps}")
    return bar
