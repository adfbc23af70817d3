"""What to do about a job that failed."""

from __future__ import annotations

import re
from collections.abc import Callable

from kfp_llm_tuning.components.common.errors import (
    EXIT_INTERNAL_ERROR,
    EXIT_USER_ERROR,
    Problem,
)
from kfp_llm_tuning.pipelines.jobs.job import JobView, TaskView

# Explains an error of a platform: its text, its code, and the task or job that it is of.
Explain = Callable[[str, int, str], Problem]

# "The replica workerpool0-0 exited with a non-zero status of 13.", "main: Error (exit code 13)"
_EXIT_STATUS = re.compile(r"(?:non-zero status(?: code)?(?: of|:)?|exit code) (\d+)")
_BY_EXIT_CODE = {
    EXIT_USER_ERROR: "A mistake in data or parameters: the task's log says which.",
    EXIT_INTERNAL_ERROR: (
        "A fault of kfp-llm-tuning: please report it with the traceback in the task's log."
    ),
}


def failed_tasks(job: JobView) -> list[TaskView]:
    """Lists the tasks that failed.

    Args:
        job: A job in any state.

    Returns:
        The tasks, in the order they began.
    """
    return [task for task in job.tasks if task.state == "failed"]


def problems_of(job: JobView, explain: Explain) -> list[Problem]:
    """Says why a job failed and what to do.

    Args:
        job: A job in any state.
        explain: Explains what no exit code tells.

    Returns:
        A problem for each failed task; where none failed, one of a job that was refused as a whole.
    """
    problems = [_problem(task.error, task.code, task.name, explain) for task in failed_tasks(job)]
    if not problems and job.state == "failed":
        problems = [_problem(job.error, job.code, job.id, explain)]
    return problems


def exit_code(job: JobView) -> int:
    """Chooses the exit code that tells a mistake of the user's from a fault of ours.

    Args:
        job: A job that failed or was cancelled.

    Returns:
        13 where a task ended with that code, else 1.
    """
    statuses = [exit_status(task.error) for task in failed_tasks(job)]
    return EXIT_INTERNAL_ERROR if EXIT_INTERNAL_ERROR in statuses else EXIT_USER_ERROR


def exit_status(text: str) -> int | None:
    """Reads the exit code of a task's process out of an error's text; None where it tells none."""
    match = _EXIT_STATUS.search(text)
    return int(match[1]) if match else None


def _problem(text: str, code: int, where: str, explain: Explain) -> Problem:
    if advice := _BY_EXIT_CODE.get(exit_status(text) or 0):
        return Problem(text, where, fix=advice)
    return explain(text, code, where)
