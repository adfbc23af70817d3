"""What the local Vertex AI needs from the code that really runs pipelines and custom jobs.

`tests/vertex/execution/` implements `Runner` as a module: the server calls
`execution.start_pipeline`, `execution.start_custom_job` and `execution.predict`. The work runs in a
process of its own; what happens there is told to the server as `Event`s, from any thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

State = Literal[
    "PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED", "SKIPPED", "NOT_TRIGGERED"
]
TaskPath = tuple[str, ...]


@dataclass(frozen=True)
class Artifact:
    """An artifact that a task read or wrote.

    Attributes:
        uri: Where it is, gs://bucket/object.
        schema_title: Its type, such as system.Model.
        metadata: What the task noted about it.
    """

    uri: str
    schema_title: str = "system.Artifact"
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Event:
    """A new state of a task, or of the whole run.

    Attributes:
        path: The task's names from the root, such as ("deployment-graph", "upload-llm-model"); the
            iteration of a loop is a name too, such as "for-loop-1-0". () is the whole run, and the
            only event of a custom job. The last event of every run has the path () and one of the
            states SUCCEEDED, FAILED and CANCELLED.
        state: The new state.
        time: When it was reached, with a time zone; None means now.
        input_parameters: Values by name, resolved.
        output_parameters: Values by name, once the task has succeeded.
        input_artifacts: Artifacts by input name.
        output_artifacts: Artifacts by output name.
        error: Why it failed; shown to clients.
    """

    path: TaskPath
    state: State
    time: datetime | None = None
    input_parameters: Mapping[str, Any] = field(default_factory=dict)
    output_parameters: Mapping[str, Any] = field(default_factory=dict)
    input_artifacts: Mapping[str, Sequence[Artifact]] = field(default_factory=dict)
    output_artifacts: Mapping[str, Sequence[Artifact]] = field(default_factory=dict)
    error: str = ""


Report = Callable[[Event], None]


class Handle(Protocol):
    """A run that was started."""

    def cancel(self) -> None:
        """Ask the run to stop; its last event then says CANCELLED. Returns at once."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the last event was reported; says whether it was."""


class Runner(Protocol):
    """The functions of `tests.vertex.execution`."""

    def start_pipeline(
        self, job: dict[str, Any], environment: Mapping[str, str], folder: Path, report: Report
    ) -> Handle:
        """Start a PipelineJob.

        Args:
            job: The job as its REST body (camelCase), with `name`, `pipelineSpec` (that of a
                templateUri filled in), `runtimeConfig`, `labels`, `serviceAccount` and so on.
            environment: `LocalVertex.environment()`, for the child process.
            folder: An empty folder for the run's own files (logs, work space).
            report: Takes the events; may be called from any thread.
        """

    def start_custom_job(
        self, job: dict[str, Any], environment: Mapping[str, str], folder: Path, report: Report
    ) -> Handle:
        """Start a CustomJob: the command of its worker pools' containers as local processes."""

    def predict(
        self,
        model: dict[str, Any],
        instances: Sequence[Any],
        parameters: Any,
        environment: Mapping[str, str],
        folder: Path,
    ) -> list[Any]:
        """Answer a prediction with a deployed Model.

        Args:
            model: The Model (the deployed version) as its REST body; `artifactUri` is the folder.
            instances: The request's instances.
            parameters: The request's parameters, a dict or None.
            environment: As above.
            folder: A folder that the same deployed model gets every time, for caching.

        Returns:
            One prediction an instance.

        Raises:
            ValueError: the instances or parameters are wrong (answered as 400).
        """


def job_uuid(job_name: str) -> int:
    """The value of {{$.pipeline_job_uuid}} of a job: the same at the server and in the run."""
    return stable_number(job_name.split("/pipelineJobs/")[-1])


def task_uuid(job_name: str, path: TaskPath) -> int:
    """The value of {{$.pipeline_task_uuid}}, which is also the `task_id` in the job's details."""
    return stable_number("/".join((job_name.split("/pipelineJobs/")[-1], *path)))


def stable_number(text: str) -> int:
    """A number with up to 19 digits that a text always gets."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
