"""What is shown of a task while it works and when it ends."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from kfp_llm_tuning.pipelines.local_runner import TaskResult
from kfp_llm_tuning.pipelines.run_display import LauncherFilter, RunDisplay, format_seconds

LAUNCHER = """\
[KFP Executor 2026-11-24 01:37:11,784 INFO]: Looking for component `x` in --component_module_path
[KFP Executor 2026-11-24 01:37:11,785 INFO]: Loading KFP component "x" from /tmp/x.py
[KFP Executor 2026-11-24 01:37:11,785 INFO]: Got executor_input:
{
    "inputs": {
        "parameterValues": {}
    }
}
[KFP Executor 2026-11-24 01:37:12,000 INFO]: step 10/60 | loss 4.1222

a plain line with [brackets]
[KFP Executor 2026-11-24 01:37:13,000 INFO]: Wrote executor output file to /tmp/y.
"""


def show(task: TaskResult, text: str) -> str:
    stream = io.StringIO()
    display = RunDisplay(Console(file=stream, width=100))
    display.started(task)
    for line in text.splitlines():
        display.printed(task, line)
    display.finished(task)
    return stream.getvalue()


def test_only_the_component_speaks() -> None:
    told_by = LauncherFilter()
    told = [line for raw in LAUNCHER.splitlines() for line in told_by.told(raw)]
    assert told == ["step 10/60 | loss 4.1222", "a plain line with [brackets]"]


def test_a_finished_task(tmp_path: Path) -> None:
    task = TaskResult("tuner", tmp_path / "log", state="succeeded", seconds=125)
    shown = show(task, LAUNCHER)
    assert "a plain line with [brackets]" in shown
    assert "✓ tuner" in shown
    assert "2 min 05 s" in shown
    assert "executor_input" not in shown


def test_a_task_done_before(tmp_path: Path) -> None:
    assert "done before" in show(TaskResult("tuner", tmp_path / "log", state="cached"), "")


def test_a_failed_task_shows_its_error_and_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(LAUNCHER + "Error: 2 problems:\n  1. [one]\n  2. two\n", encoding="utf-8")
    shown = show(TaskResult("tuner", log, state="failed", seconds=1), "")
    assert "✗ tuner" in shown
    assert "Error: 2 problems:" in shown
    assert "1. [one]" in shown
    assert "step 10/60" not in shown
    assert str(log) in shown


def test_a_crashed_task_shows_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("\n".join(f"line {number}" for number in range(50)), encoding="utf-8")
    shown = show(TaskResult("tuner", log, state="failed", seconds=1), "")
    assert "line 49" in shown
    assert "line 20" not in shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 00 s"), (3661, "1 h 01 min")],
)
def test_times_are_written_for_people(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text
