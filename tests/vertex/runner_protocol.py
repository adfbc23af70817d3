"""What the local Vertex AI needs from the code that really runs pipelines and custom jobs.

`tests/vertex/execution/` implements `Runner` as a module: the server calls
`execution.start_pipeline`, `execution.start_custom_job` and `execution.start_container`. The work
runs in a process of its own; what happens in a job is told to the server as `Event`s, from any
thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
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


class ContainerError(Exception):
    """A container did not become healthy, or is not reached."""


@dataclass(frozen=True)
class ContainerAnswer:
    """What a container answers to a prediction.

    Attributes:
        status: The HTTP status.
        content_type: Of the body.
        chunks: The body, each part as it comes.
    """

    status: int
    content_type: str
    chunks: Iterator[bytes]


class Container(Protocol):
    """The running container of a deployed model."""

    def wait_until_healthy(self) -> None:
        """Wait until it answers that it is healthy.

        Raises:
            ContainerError: it ended, or took too long; with the end of its log.
        """

    def post(self, body: bytes, content_type: str) -> AbstractContextManager[ContainerAnswer]:
        """Send a body to the predict route.

        Raises:
            ContainerError: the container is not reached.
        """

    def stop(self) -> None:
        """Ask it to finish what it answers and to end; returns at once."""

    def kill(self) -> None:
        """End it at once."""


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

    def start_container(
        self,
        model: dict[str, Any],
        endpoint: str,
        deployed: dict[str, Any],
        environment: Mapping[str, str],
        folder: Path,
    ) -> Container:
        """Start the container of a deployed model.

        Args:
            model: The Model (the deployed version) as its REST body; `containerSpec` says what
                runs, `artifactUri` where its weights are.
            endpoint: The endpoint's resource name.
            deployed: The DeployedModel as its REST body.
            environment: As above.
            folder: A folder of its own.
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
