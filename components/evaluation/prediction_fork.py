"""A batch prediction in a copy of its task's process, where that has imported what it needs.

So it is in a run on this machine, whose tasks share their imports. Whatever befalls the copy, the
task lives to tell it, as with a command of its own.
"""

from __future__ import annotations

import os
import sys
from multiprocessing.context import ForkProcess
from typing import IO

from kfp_llm_tuning.components.common import forks
from kfp_llm_tuning.components.evaluation.prediction_task import Command, PredictionTask, Process

_NEEDED = "kfp_llm_tuning.components.generation.transformers_engine"


def is_prepared() -> bool:
    """Tells whether a copy of this process would have all that is dear to import, and work."""
    return _NEEDED in sys.modules and forks.is_safe()


class ForkedCommand(Command):
    """Carries out a task in a copy of this process."""

    def __init__(self, task: PredictionTask) -> None:
        """Takes the task."""
        super().__init__(task.arguments())
        self._task = task

    def start(self) -> tuple[Process, IO[bytes]]:
        """Forks this process.

        Returns:
            The copy, and what it writes to standard error.
        """
        reading, writing = os.pipe()
        copy = _Copy(target=_carry_out, args=(self._task, reading, writing))
        copy.start()
        os.close(writing)
        return copy, os.fdopen(reading, "rb")


class _Copy(ForkProcess):
    """A copy of this process, waited for as one that was started afresh."""

    def wait(self) -> int:
        """Waits for its end, and gives its exit code, negative for the signal that killed it."""
        self.join()
        assert self.exitcode is not None
        return self.exitcode


def _carry_out(task: PredictionTask, reading: int, writing: int) -> None:
    from kfp_llm_tuning.components.evaluation.prediction_command import carry_out

    os.close(reading)
    os.dup2(writing, sys.stderr.fileno())
    os.close(writing)
    carry_out(task)
