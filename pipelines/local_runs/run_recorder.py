"""Keeps the record of a run as it goes on: one that is killed still says how far it came."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from kfp_llm_tuning.pipelines.local_runs import run_record
from kfp_llm_tuning.pipelines.local_runs.local_runner import Observer, TaskResult
from kfp_llm_tuning.pipelines.local_runs.relocation import Relocation
from kfp_llm_tuning.pipelines.local_runs.run_record import RunRecord, TaskRecord


class RunRecorder:
    """Writes each task into the run's record as it ends, and hands on all that it is told."""

    def __init__(
        self, directory: Path, record: RunRecord, observer: Observer, relocation: Relocation
    ) -> None:
        """Begins a try: the record says that the run is at work.

        Args:
            directory: The run's folder.
            record: As the last try left it.
            observer: Is told what this one is told.
            relocation: Of the run's folder since it was made: a record has paths as they were.
        """
        self._directory = directory
        self._record = record
        self._observer = observer
        self._relocation = relocation
        self._begun = time.monotonic()
        self._ended: list[TaskResult] = []
        # Iterations of a loop end in threads of their own.
        self._lock = threading.Lock()
        self._write("running", ())

    def started(self, task: TaskResult) -> None:
        """A task begins."""
        self._observer.started(task)

    def printed(self, task: TaskResult, line: str) -> None:
        """A task's process printed a line to standard output."""
        self._observer.printed(task, line)

    def finished(self, task: TaskResult) -> None:
        """A task has ended."""
        self._observer.finished(task)
        with self._lock:
            self._ended.append(task)
            self._write("running", self._ended)

    def interrupted(self, again: bool) -> None:
        """A signal asked the run to stop."""
        self._observer.interrupted(again)

    def end(self, state: str, tasks: Sequence[TaskResult]) -> float:
        """Writes how the run ended.

        Args:
            state: Of ``run_record.STATES``.
            tasks: Every task, those that never began included.

        Returns:
            How long this try took, in seconds.
        """
        return self._write(state, tasks)

    def _write(self, state: str, tasks: Sequence[TaskResult]) -> float:
        seconds = time.monotonic() - self._begun
        record = dataclasses.replace(
            self._record,
            state=state,
            seconds=round(seconds, 2),
            tasks=tuple(map(self._recorded, tasks)),
        )
        run_record.write(self._directory, record)
        return seconds

    def _recorded(self, task: TaskResult) -> TaskRecord:
        outputs = self._relocation.as_made(dict(task.outputs))
        return TaskRecord(task.name, task.state, round(task.seconds, 2), outputs, task.problems)
