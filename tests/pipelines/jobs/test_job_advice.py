"""What is said about jobs that failed on Vertex AI."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.common.vertex import Vertex
from kfp_llm_tuning.pipelines.jobs.job import JobView, TaskView
from kfp_llm_tuning.pipelines.jobs.job_advice import exit_code, failed_tasks, problems_of
from kfp_llm_tuning.pipelines.vertex.service import VertexService

EXITED = "The replica workerpool0-0 exited with a non-zero status of {}. See the logs: https://x"


def job(tasks: Sequence[TaskView]) -> JobView:
    return JobView("a/b", "", "", "failed", "", 0, "", "", 9, tuple(tasks), "", "", "")


def task_problem(task: TaskView) -> Problem:
    (problem,) = problems_of(job([task]), VertexService(Vertex("p", "us-central1")).explain)
    return problem


@pytest.mark.parametrize(
    ("code", "text", "advice"),
    [
        (9, EXITED.format(1), "A mistake in data or parameters"),
        (9, EXITED.format(13), "A fault of kfp-llm-tuning"),
        (9, EXITED.format(137), "ran out of memory"),
        (8, "The following quotas are exceeded: CustomModelTraining", "Ask for more quota"),
        (13, "Internal error encountered.", "create any Vertex AI dataset"),
        (7, "Permission 'aiplatform.metadataStores.get' denied", "roles/aiplatform.user"),
        (
            7,
            "does not have permission to access Artifact Registry repository "
            "projects/vertex-ai-restricted/locations/us/repositories/llm",
            "wait five minutes",
        ),
        (14, "Unavailable", "Run it again"),
    ],
)
def test_advice(code: int, text: str, advice: str) -> None:
    problem = task_problem(TaskView("tuner", "failed", 1.0, text, code))
    assert problem.what == text
    assert advice in problem.fix


def test_an_error_without_a_reason() -> None:
    assert "no reason was given" in str(task_problem(TaskView("tuner", "failed", 1.0)))


@pytest.mark.parametrize(("statuses", "expected"), [([1], 1), ([13], 13), ([1, 13], 13), ([], 1)])
def test_exit_codes(statuses: list[int], expected: int) -> None:
    tasks = [TaskView(f"t{one}", "failed", 1.0, EXITED.format(one), 9) for one in statuses]
    assert exit_code(job(tasks)) == expected


def test_a_job_that_was_refused_as_a_whole() -> None:
    refused = JobView("a/b", "", "", "failed", "", 0, "", "Permission denied", 7, (), "", "", "")
    (problem,) = problems_of(refused, VertexService(Vertex("p", "us-central1")).explain)
    assert str(problem).startswith("b: Permission denied")


def test_only_failed_tasks_count() -> None:
    tasks = [TaskView("a", "succeeded", 1.0), TaskView("b", "failed", 1.0, "x", 9)]
    assert [task.name for task in failed_tasks(job(tasks))] == ["b"]
