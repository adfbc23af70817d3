"""Waits for a pipeline job and shows its tasks as they change."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from rich.console import Console
from rich.text import Text

from kfp_llm_tuning.pipelines.jobs.job import JobView, TaskView
from kfp_llm_tuning.pipelines.terminal.text import format_seconds, task_line

_MARKS = {
    "succeeded": ("✓", "green"),
    "skipped": ("↺", "cyan"),
    "failed": ("✗", "red"),
    "cancelled": ("■", "yellow"),
    "not_triggered": ("–", "dim"),
}
# In the place of a time that tells nothing.
_NOTES = {"skipped": "done before", "not_triggered": "not needed"}
# Beside a spinner.
_MARGIN = 4


class JobDisplay:
    """Prints each task once when it begins and once when it ends.

    In a terminal the running tasks stand below the ended ones and are overwritten.
    """

    def __init__(self, console: Console) -> None:
        """Writes to the console."""
        self._console = console
        self._status = console.status("") if console.is_interactive else None
        self._shown: dict[str, str] = {}
        self._waiting: dict[str, str] = {}

    def __enter__(self) -> JobDisplay:
        """Shows the status line, in a terminal."""
        self._line().__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        """Takes the status line away."""
        self._line().__exit__(None, None, None)

    def show(self, job: JobView) -> None:
        """Prints what has changed since the last call.

        Args:
            job: The job now.
        """
        for task in job.tasks:
            if self._shown.get(task.name) != task.state:
                self._shown[task.name] = task.state
                self._print(task)
            if task.waits_for and self._waiting.get(task.name) != task.waits_for:
                self._waiting[task.name] = task.waits_for
                self._console.print(
                    Text(f"  ! {task.name} waits: {task.waits_for}"), soft_wrap=True
                )
        if self._status:
            running = [task for task in job.tasks if task.state == "running"]
            texts = [f"{task.name} {format_seconds(task.seconds)}" for task in running]
            line = Text(", ".join(texts) or job.state)
            line.truncate(max(self._console.width - _MARGIN, 1), overflow="ellipsis")
            self._status.update(line)

    def _print(self, task: TaskView) -> None:
        if mark := _MARKS.get(task.state):
            took = _NOTES.get(task.state) or format_seconds(task.seconds)
            self._console.print(task_line(*mark, task.name, took))
        elif task.state == "running" and not self._status:
            self._console.print(Text(f"  … {task.name}"))

    def _line(self) -> AbstractContextManager[object]:
        return self._status or nullcontext()


def watch(
    read: Callable[[], JobView], show: Callable[[JobView], None], poll_seconds: float
) -> JobView:
    """Reads a job until it has ended.

    Args:
        read: Gets the job as it is now.
        show: Is told what was read.
        poll_seconds: Time between two reads.

    Returns:
        The job when it has ended.
    """
    while True:
        job = read()
        show(job)
        if job.ended:
            return job
        time.sleep(poll_seconds)
