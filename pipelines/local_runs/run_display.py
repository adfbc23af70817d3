"""What a person sees while a pipeline runs on this machine, in a terminal, a pipe or a log."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from kfp_llm_tuning.pipelines.local_runs.local_runner import TaskResult
from kfp_llm_tuning.pipelines.local_runs.run_progress import RunProgress
from kfp_llm_tuning.pipelines.local_runs.task_lines import LineFilter
from kfp_llm_tuning.pipelines.terminal.text import format_seconds, output_console, task_line

_MARKS = {
    "succeeded": ("✓", "green"),
    "cached": ("↺", "cyan"),
    "failed": ("✗", "red"),
    "interrupted": ("■", "yellow"),
}
_ERROR_LINES = 12
# What a component writes to standard error before it ends (components/common/errors.py).
_REASONS = ("Error:", "Interrupted:")
_REFRESHES_PER_SECOND = 4
_BAR_COLUMNS = 20
# A terminal writes ^C behind the line: that must not begin another one.
_SPARE_COLUMNS = 3
# A narrower terminal has no room for it beside the longest name of ours.
_COLUMNS_WITH_BAR = 80


class RunDisplay:
    """Prints each task with its state and time, what it says above that, and how it failed.

    Everything printed stays, and is the same in a terminal, a pipe and a log. A terminal has one
    line more at its end: what is at work, how much of the run is done, and the time left.
    """

    def __init__(self, console: Console | None = None, tasks: Sequence[str] = ()) -> None:
        """Prepares the display; nothing is printed yet.

        Args:
            console: Where to; standard output if none is given.
            tasks: Names of the tasks that are sure to come, for the time left.
        """
        self.console = console or output_console()
        self._progress = RunProgress(tasks)
        self._filters: dict[str, LineFilter] = {}
        self._announced: set[str] = set()
        # Where this try's part of a log begins: earlier ones wrote to the same file.
        self._log_begins: dict[str, int] = {}
        self._at_work: list[str] = []
        self._stopping = False
        # Iterations of a loop tell from threads of their own.
        self._lock = threading.RLock()
        self._live = Live(
            console=self.console,
            get_renderable=self._line,
            refresh_per_second=_REFRESHES_PER_SECOND,
            transient=True,
            # The run's own redirection would be undone by it.
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        """Shows the line of progress, in a terminal that can take it back."""
        if self.console.is_interactive:
            self._live.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Takes the line of progress away."""
        self._live.stop()

    def started(self, task: TaskResult) -> None:
        """Begins a task; it is named when it says something, or has ended."""
        with self._lock:
            self._at_work.append(task.name)
            if task.log.is_file():
                self._log_begins[task.name] = task.log.stat().st_size
            self._progress.started(task.name)

    def printed(self, task: TaskResult, line: str) -> None:
        """Prints what the running task says."""
        with self._lock:
            shown = self._filters.setdefault(task.name, LineFilter()).filter(line)
            if shown or not self.console.is_interactive:
                self._announce(task)
            if shown is None:
                return
            self._progress.update(task.name, shown.text)
            mark, style = ("! ", "yellow") if shown.warning else ("", "")
            # Another program's text moves no cursor.
            text = Text.assemble(f"      {mark}", Text.from_ansi(shown.text), style=style)
            self.console.print(text)

    def finished(self, task: TaskResult) -> None:
        """Prints how the task ended; the end of its log where it failed."""
        with self._lock:
            self._at_work.remove(task.name)
            self._progress.finished(task.name, measured=task.state == "succeeded")
            mark, style = _MARKS[task.state]
            took = "done before" if task.state == "cached" else format_seconds(task.seconds)
            self.console.print(task_line(mark, style, task.name, took))
            if task.state in ("failed", "interrupted"):
                self._print_why(task)

    def interrupted(self, again: bool) -> None:
        """Says what a Ctrl-C does."""
        self._stopping = True
        what = "Stopping at once." if again else "Stopping: what is done is being saved."
        how = "" if again else " Ctrl-C again stops at once."
        self.console.print(f"{what}{how}", style="yellow")

    def _announce(self, task: TaskResult) -> None:
        """Names a task once: above what it says, and in a log as soon as it is at work."""
        if task.name not in self._announced:
            self._announced.add(task.name)
            self.console.print(f"  … {task.name}")

    def _print_why(self, task: TaskResult) -> None:
        style = _MARKS[task.state][1]
        for line in _why(task, self._log_begins.get(task.name, 0)):
            self.console.print(Text(f"      {line}", style=style))
        self.console.print(f"      whole log: {task.log}", style="dim")

    def _line(self) -> Table:
        """Makes the line of progress: no wider than the terminal, cut where it must be."""
        progress = self._progress
        number = f"{min(progress.ended + 1, progress.tasks)}/{progress.tasks}"
        doing = "stopping " if self._stopping else ""
        line = Table.grid(padding=(0, 1))
        line.width = max(self.console.width - _SPARE_COLUMNS, 1)
        line.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        cells: list[Text | ProgressBar] = [Text(f"{number} {doing}{', '.join(self._at_work)}")]
        if self.console.width >= _COLUMNS_WITH_BAR:
            line.add_column(width=_BAR_COLUMNS)
            cells.append(ProgressBar(completed=100 * (progress.share or 0)))
        line.add_column(no_wrap=True, justify="right")
        cells.append(Text(_time_left(progress)))
        line.add_row(*cells)
        return line


def _time_left(progress: RunProgress) -> str:
    left, share = progress.seconds_left, progress.share
    if left is None or share is None:
        return f"{format_seconds(progress.seconds, whole=True)} so far"
    return f"{share:.0%} about {format_seconds(left, whole=True)} left"


def _why(task: TaskResult, log_begins: int) -> list[str]:
    """Finds the error that ended a task in this try's part of its log, else the log's end.

    A task that was interrupted and said nothing of it needs no explanation.
    """
    if not task.log.is_file():
        return []
    content = task.log.read_bytes()[log_begins:].decode(errors="replace")
    line_filter = LineFilter()
    lines = [found.text for line in content.splitlines() if (found := line_filter.filter(line))]
    starts = [number for number, line in enumerate(lines) if line.startswith(_REASONS)]
    if starts:
        return lines[starts[-1] :]
    return lines[-_ERROR_LINES:] if task.state == "failed" else []
