"""Tasks as they are shown while a job runs."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence

from rich.console import Console

from kfp_llm_tuning.pipelines.jobs.job import JobView, TaskView
from kfp_llm_tuning.pipelines.jobs.job_watch import JobDisplay, watch


def job(state: str, *tasks: TaskView) -> JobView:
    return JobView("a/b", "", "", state, "", 0, "", "", 0, tasks, "", "", "")


def shown(jobs: Sequence[JobView], terminal: bool = False) -> str:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=100, highlight=False)
    with JobDisplay(console) as display:
        rest = iter(jobs)
        last = watch(lambda: next(rest), display.show, 0.0)
    assert last is jobs[-1]
    return text.getvalue()


RUNNING = TaskView("tuner", "running", 3.0)
HISTORY = [
    job("pending"),
    job("running", TaskView("validate", "running", 1.0)),
    job("running", TaskView("validate", "skipped", 2.0), RUNNING),
    job("running", TaskView("validate", "skipped", 2.0), RUNNING),
    job(
        "failed",
        TaskView("validate", "skipped", 2.0),
        dataclasses.replace(RUNNING, state="failed", seconds=65.0),
        TaskView("deploy", "not_triggered", 0.0),
    ),
]


def test_lines_outside_of_a_terminal() -> None:
    lines = [line.rstrip() for line in shown(HISTORY).splitlines()]
    assert lines == [
        "  … validate",
        "  ↺ validate                           done before",
        "  … tuner",
        "  ✗ tuner                               1 min 05 s",
        "  – deploy                              not needed",
    ]


def test_a_terminal_shows_the_running_tasks_beneath() -> None:
    text = shown(HISTORY, terminal=True)
    assert "… tuner" not in text
    assert text.count("1 min 05 s") == 1
