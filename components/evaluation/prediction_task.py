"""One batch prediction of a pipeline: its command, and what becomes of a command that fails.

The command runs in a process of its own, or in a job on a machine of its own: whatever befalls it -
no memory, no machine, a crash of a library - this task lives to tell it. Where the pipeline goes on
without an evaluation, what failed is written down in the place of predictions.
"""

from __future__ import annotations

import dataclasses
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from kfp_llm_tuning.components.common.errors import (
    EXIT_INTERNAL_ERROR,
    EXIT_USER_ERROR,
    Problem,
    RunAgain,
    UserError,
)
from kfp_llm_tuning.components.common.process_ends import describe_kill, killing_signal
from kfp_llm_tuning.components.data.artifacts import read_records_info
from kfp_llm_tuning.components.evaluation.artifacts import (
    PredictionInfo,
    PredictionSet,
    read_predictions,
    write_predictions,
)

_MODULE = "kfp_llm_tuning.components.evaluation"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PredictionTask:
    """What is predicted, with which model; folders are paths or URIs.

    Attributes:
        evaluation_records: Output folder of ``preprocess-dataset``.
        training_records: The same of the training set.
        predictions: Where the predictions go.
        saved_model: Folder of a tuned model; empty for a base model.
        model_reference: The base model.
        tuning_method: Decides the base model's limits with the two below, as in tuning.
        accelerator: "TPU" or "GPU".
        max_context_length: "8k", "32k", or empty.
        continue_on_failure: Whether a failure is written down, and the pipeline goes on.
    """

    evaluation_records: str
    training_records: str
    predictions: str
    saved_model: str = ""
    model_reference: str = ""
    tuning_method: str = "tune_v2"
    accelerator: str = "GPU"
    max_context_length: str = ""
    continue_on_failure: bool = False

    def arguments(self) -> list[str]:
        """Writes the arguments of a Python interpreter that does it."""
        words = ["-m", _MODULE]
        for name, value in dataclasses.asdict(self).items():
            option = f"--{name.replace('_', '-')}"
            if value is True:
                words.append(option)
            elif value:
                words += [option, value]
        return words


class Process(Protocol):
    """What is needed of a process at work."""

    def terminate(self) -> None:
        """Asks it to end."""

    def wait(self) -> int:
        """Waits for its end, and gives its exit code, negative for the signal that killed it."""


class Command:
    """What does the work of a task, and tells why it did not.

    Attributes:
        last_words: The last line of its standard error.
        tells_mistakes: Whether its process has told of a mistake where the pipeline's runner looks.
    """

    tells_mistakes = True

    def __init__(self, arguments: list[str]) -> None:
        """Takes the arguments of this Python interpreter."""
        self._arguments = arguments
        self.last_words = ""

    def run(self) -> int:
        """Runs it to its end; whoever ends this process ends it as well.

        Returns:
            Its exit code, negative for the signal that killed it.

        Raises:
            RunAgain: If this process was asked to end.
        """
        process, errors = self.start()
        with errors, _passing_on(process) as asked:
            for line in errors:
                sys.stderr.write(text := line.decode(errors="replace"))
                self.last_words = text.strip() or self.last_words
            code = process.wait()
        if asked or code in (-signal.SIGTERM, -signal.SIGINT):
            raise RunAgain("the prediction was asked to end")
        return code

    def start(self) -> tuple[Process, IO[bytes]]:
        """Starts its process.

        Returns:
            The process, and what it writes to standard error.
        """
        process = subprocess.Popen([sys.executable, *self._arguments], stderr=subprocess.PIPE)
        assert process.stderr is not None
        return process, process.stderr

    def reason(self, code: int) -> str:
        """Says why it failed.

        Args:
            code: Its exit code, not 0.

        Returns:
            A sentence.
        """
        if killed_by := killing_signal(code):
            return f"the prediction's process was {describe_kill(killed_by)}."
        return f"the prediction's process ended with exit code {code}. {self.last_words}".strip()


def predict(task: PredictionTask, records: Path, output: Path, command: Command) -> PredictionInfo:
    """Has a command do a task; where there is nothing to predict, nothing is run.

    Args:
        task: The task.
        records: The evaluation set's folder, as it is seen here.
        output: The predictions' folder, as it is seen here.
        command: Does it.

    Returns:
        What info.json holds.

    Raises:
        UserError: If the command fails, and the pipeline does not go on without it.
        RunAgain: If this process was asked to end.
        SystemExit: If the command has told why it failed.
    """
    if not read_records_info(records).examples:
        _log.info("No evaluation set: nothing to predict.")
        write_predictions(output, PredictionSet(PredictionInfo()))
        return PredictionInfo()
    if not (code := command.run()):
        return read_predictions(output).info
    if not task.continue_on_failure:
        if code in (EXIT_USER_ERROR, EXIT_INTERNAL_ERROR) and command.tells_mistakes:
            raise SystemExit(code)
        raise UserError(Problem(command.reason(code)))
    return write_failure(output, task, command.reason(code))


def write_failure(output: Path, task: PredictionTask, reason: str) -> PredictionInfo:
    """Writes down why there are no predictions, in their place.

    Args:
        output: The predictions' folder, as it is seen here.
        task: The task that failed.
        reason: Why.

    Returns:
        What info.json holds.
    """
    name = "tuned" if task.saved_model else "base"
    failure = f"The {name} model could not be asked: {reason}"
    _log.error("%s The pipeline goes on without it.", failure)
    info = PredictionInfo(model=task.model_reference, tuned=bool(task.saved_model), failure=failure)
    write_predictions(output, PredictionSet(info))
    return info


@contextmanager
def _passing_on(process: Process) -> Iterator[list[int]]:
    """Passes requests to end on to a process, and lists them."""
    asked: list[int] = []

    def end(number: int, _frame: object) -> None:
        asked.append(number)
        process.terminate()

    previous = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
