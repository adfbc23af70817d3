"""What a person sees while a pipeline runs on this machine."""

from __future__ import annotations

import re
import sys

from rich.console import Console
from rich.markup import escape

from kfp_llm_tuning.pipelines.local_runner import TaskResult

_MARKS = {"succeeded": "[green]✓[/]", "cached": "[cyan]↺[/]", "failed": "[red]✗[/]"}
# kfp's own launcher writes this before every log line of a component ...
_PREFIX = re.compile(r"^\[KFP Executor [^]]*\]: ?")
# ... and says this of itself, of no use to a person; the second is followed by a page of JSON.
_LAUNCHER = ("Looking for component", "Loading KFP component", "Wrote executor output file")
_INPUT_BEGINS, _INPUT_ENDS = "Got executor_input:", "}"
_ERROR_LINES = 12


def output_console() -> Console:
    """Makes a console for standard output as it is now: kfp.local runs with it redirected."""
    return Console(file=sys.stdout, highlight=False)


class RunDisplay:
    """Prints each task with its state and time; a task's own lines while it works.

    In a terminal the newest line of the running task stands below the finished tasks and is
    overwritten; elsewhere, in a log say, every line stays.
    """

    def __init__(self, console: Console | None = None) -> None:
        """Writes to standard output, or to the console given."""
        self.console = console or output_console()
        self._filters: dict[str, LauncherFilter] = {}
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
        for told in self._filters.setdefault(task.name, LauncherFilter()).told(line):
            if self._status:
                self._status.update(f"{task.name}  [dim]{escape(told.strip()[:160])}[/]")
            else:
                self.console.print(f"      {told}", markup=False, soft_wrap=True)

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


class LauncherFilter:
    """Leaves of a task's output what the component itself said."""

    def __init__(self) -> None:
        """Begins outside of the launcher's page of JSON."""
        self._inside_input = False

    def told(self, line: str) -> list[str]:
        """Gives the line without the launcher's prefix; nothing where the launcher speaks.

        Args:
            line: Without its newline; lines must come in their order.

        Returns:
            One line or none.
        """
        text = _PREFIX.sub("", line)
        if self._inside_input:
            self._inside_input = line != _INPUT_ENDS
            return []
        if text.startswith(_INPUT_BEGINS):
            self._inside_input = True
            return []
        return [] if not text.strip() or text.startswith(_LAUNCHER) else [text]


def _last_lines(task: TaskResult) -> list[str]:
    if not task.log.is_file():
        return []
    log_filter = LauncherFilter()
    lines = task.log.read_text(encoding="utf-8", errors="replace").splitlines()
    told = [text for line in lines for text in log_filter.told(line)]
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
