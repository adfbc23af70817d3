"""What a person sees while a pipeline runs on this machine."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.markup import escape

from kfp_llm_tuning.pipelines.local_runner import TaskResult

_MARKS = {"succeeded": "[green]✓[/]", "cached": "[cyan]↺[/]", "failed": "[red]✗[/]"}
# What kfp's own launcher prints around a component, of no use to a person.
_NOISE = ("[KFP Executor", "Looking for component", "Loading KFP component", "Got executor_input")
_ERROR_LINES = 12


class RunDisplay:
    """Prints each task with its state and time; a task's own lines while it works.

    In a terminal the newest line of the running task stands below the finished tasks and is
    overwritten; elsewhere, in a log say, every line stays.
    """

    def __init__(self, console: Console | None = None) -> None:
        """Writes to standard output, or to the console given."""
        # Bound now: kfp.local runs with sys.stdout redirected.
        self.console = console or Console(file=sys.stdout, highlight=False)
        self._status = self.console.status("") if self.console.is_terminal else None

    def started(self, task: TaskResult) -> None:
        """Names the task that begins."""
        if self._status:
            self._status.update(f"{task.name} …")
            self._status.start()
        else:
            self.console.print(f"  … {task.name}")

    def printed(self, task: TaskResult, line: str) -> None:
        """Shows a line of the running task."""
        if not line.strip() or line.startswith(_NOISE):
            return
        if self._status:
            self._status.update(f"{task.name}  [dim]{escape(line.strip()[:160])}[/]")
        else:
            self.console.print(f"      {line}", markup=False, soft_wrap=True)

    def finished(self, task: TaskResult) -> None:
        """Shows how the task ended; the end of its log where it failed."""
        if self._status:
            self._status.stop()
        note = "  [dim]done before[/]" if task.state == "cached" else ""
        mark = _MARKS[task.state]
        self.console.print(f"  {mark} {task.name:<34} {format_seconds(task.seconds):>9}{note}")
        if task.state == "failed":
            for line in _last_lines(task):
                self.console.print(f"      {line}", style="red", markup=False, soft_wrap=True)
            self.console.print(f"      [dim]whole log: {escape(str(task.log))}[/]", soft_wrap=True)


def _last_lines(task: TaskResult) -> list[str]:
    if not task.log.is_file():
        return []
    lines = task.log.read_text(encoding="utf-8", errors="replace").splitlines()
    told = [line for line in lines if line.strip() and not line.startswith(_NOISE)]
    starts = [number for number, line in enumerate(told) if line.startswith("Error:")]
    return told[starts[-1] :] if starts else told[-_ERROR_LINES:]


def format_seconds(seconds: float) -> str:
    """Writes a time for people: ``0.4 s``, ``2 min 05 s``, ``1 h 02 min``.

    Args:
        seconds: Not negative.

    Returns:
        The text.
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"
