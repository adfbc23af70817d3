"""What to do about a job that failed."""

from __future__ import annotations

import re

from kfp_llm_tuning.components.common.errors import (
    EXIT_INTERNAL_ERROR,
    EXIT_USER_ERROR,
    Problem,
)
from kfp_llm_tuning.components.common.vertex_errors import problem_of
from kfp_llm_tuning.pipelines.vertex.job_view import JobView, TaskView

# "The replica workerpool0-0 exited with a non-zero status of 13."
_EXIT_STATUS = re.compile(r"non-zero status(?: code)?(?: of|:)? (\d+)")
_BY_EXIT_CODE = {
    EXIT_USER_ERROR: "A mistake in data or parameters: the task's log says which.",
    EXIT_INTERNAL_ERROR: (
        "A fault of kfp-llm-tuning: please report it with the traceback in the task's log."
    ),
    137: "The machine ran out of memory: give a larger --tuning-machine.",
}


def failed_tasks(job: JobView) -> list[TaskView]:
    """Lists the tasks that failed.

    Args:
        job: A job in any state.

    Returns:
        The tasks, in the order they began.
    """
    return [task for task in job.tasks if task.state == "failed"]


def task_problem(task: TaskView) -> Problem:
    """Says why a task failed and what to do.

    Args:
        task: A failed task.

    Returns:
        The error's text, with advice where there is any.
    """
    return _problem(task.error, task.code, task.name)


def job_problem(job: JobView) -> Problem:
    """Says why a job failed where none of its tasks did: it was refused as a whole.

    Args:
        job: A failed job.

    Returns:
        The error's text, with advice where there is any.
    """
    return _problem(job.error, job.code, job.id)


def exit_code(job: JobView) -> int:
    """Chooses the exit code that tells a mistake of the user's from a fault of ours.

    Args:
        job: A job that failed or was cancelled.

    Returns:
        13 where a task ended with that code, else 1.
    """
    statuses = [_exit_status(task.error) for task in failed_tasks(job)]
    return EXIT_INTERNAL_ERROR if EXIT_INTERNAL_ERROR in statuses else EXIT_USER_ERROR


def _problem(text: str, code: int, where: str) -> Problem:
    from google.api_core import exceptions

    if advice := _BY_EXIT_CODE.get(_exit_status(text) or 0):
        return Problem(text, where, fix=advice)
    error = exceptions.from_grpc_status(code or 2, text)  # type: ignore[no-untyped-call]
    return Problem(text or "no reason was given.", where, fix=problem_of(error, "run").fix)


def _exit_status(text: str) -> int | None:
    match = _EXIT_STATUS.search(text)
    return int(match[1]) if match else None
