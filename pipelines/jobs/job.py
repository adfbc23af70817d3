"""A pipeline job as people want to see it, wherever it runs: tasks, times, what went wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kfp_llm_tuning.components.common.primary_metric import PrimaryMetric

# What a job or a task is said to be, on every platform.
STATES = ("queued", "pending", "running", "succeeded", "failed", "cancelling", "cancelled")
ENDED = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class TaskView:
    """One task that does something itself; graphs are left out.

    Attributes:
        name: The task's name.
        state: One of ``STATES``, or skipped (done before) or not_triggered (not needed).
        seconds: How long it runs or ran.
        error: Why it failed; empty otherwise.
        code: The error's code of google.rpc.Code; 0 where there is none.
        waits_for: What keeps it from starting, such as an image that cannot be pulled; empty where
            nothing is told.
    """

    name: str
    state: str
    seconds: float
    error: str = ""
    code: int = 0
    waits_for: str = ""


@dataclass(frozen=True)
class JobView:
    """One job.

    Attributes:
        name: Full resource name on Vertex AI, the run's id on Kubeflow.
        display_name: Its name for people.
        template: The pipeline's name.
        state: One of ``STATES``.
        created: When, ISO 8601 in UTC; empty while it is not known.
        seconds: How long it runs or ran.
        model_display_name: Name of the model that it tunes.
        error: Why the job failed; empty otherwise.
        code: The error's code of google.rpc.Code; 0 where there is none.
        tasks: In the order they began.
        model: Name of the registered model; empty where there is none.
        endpoint: Name of the endpoint; empty where there is none.
        console: URL of the job's page.
        note: What could not be found out.
        primary: The metric that the evaluation judged by; None where there is none.
    """

    name: str
    display_name: str
    template: str
    state: str
    created: str
    seconds: float
    model_display_name: str
    error: str
    code: int
    tasks: tuple[TaskView, ...]
    model: str
    endpoint: str
    console: str
    note: str = ""
    primary: PrimaryMetric | None = None

    @property
    def id(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ENDED

    def as_json(self) -> dict[str, Any]:
        """Gives every field, for programs."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class JobFilter:
    """Which jobs are listed; empty fields let all through.

    Attributes:
        state: One of ``STATES``.
        template: Name of the template.
        model: Display name of the tuned model.
        labels: Labels that a job must have.
    """

    state: str = ""
    template: str = ""
    model: str = ""
    labels: Mapping[str, str] | None = None
