"""The MLflow run of a run on this machine: open while it runs, and closed as it ended."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.tracking.background import BackgroundTracker
from kfp_llm_tuning.components.tracking.tracked_run import (
    FAILED,
    FINISHED,
    KILLED,
    TrackedRun,
    find_run,
    open_run,
    problem_text,
)
from kfp_llm_tuning.pipelines.local_runs.run_directory import is_at_work

if TYPE_CHECKING:
    from kfp.dsl.base_component import BaseComponent

    from kfp_llm_tuning.pipelines.local_runs.local_runner import TaskResult

# Where a run lies, behind the name of its machine: by its lock others see whether it is at work.
_FOLDER_TAG = "kfp_llm_tuning.folder"
# As the states of a run's record end it.
_STATUS = {"succeeded": FINISHED, "failed": FAILED, "interrupted": KILLED}
# The end is written in milliseconds once MLflow is loaded; a run that fails at once waits for that.
_SECONDS_TO_CLOSE = 20.0


class RunTracking:
    """Opens and closes the MLflow run in the background, while tasks do their work.

    Attributes:
        warning: What went wrong first; empty where nothing did.
    """

    def __init__(
        self,
        directory: Path,
        pipeline: BaseComponent,
        registry_uri: str,
        run_id: str,
        name: str,
    ) -> None:
        """Begins to open it, where the pipeline works with a registry at all.

        Args:
            directory: The run's folder, which this process holds.
            pipeline: What is run.
            registry_uri: Where the run registers models.
            run_id: Of the run.
            name: What people call the run.
        """
        self._directory = directory
        self._run_id = run_id
        self._pipeline = pipeline
        self.warning = ""
        self._tracker: BackgroundTracker[TrackedRun] | None = None
        if _works_with_registry(pipeline):
            self._tracker = BackgroundTracker(
                "MLflow", lambda: open_run(registry_uri, run_id, name), self._keep
            )

    def begin(self, given: Mapping[str, Any]) -> None:
        """Logs what the run is asked to do: what is given, and the defaults of the other inputs."""
        inputs = self._pipeline.component_spec.inputs or {}
        parameters = {**{name: spec.default for name, spec in inputs.items()}, **given}
        if self._tracker:
            self._tracker.do(lambda run: run.log_parameters(parameters))
            self._tracker.do(lambda run: _end_abandoned(run, self._directory))

    def end(self, state: str, tasks: Sequence[TaskResult]) -> None:
        """Says how the run ended, and waits until that is written.

        Args:
            state: Of the run's record: succeeded, failed or interrupted.
            tasks: The result of each task.
        """
        problem = "" if state == "succeeded" else _problem(tasks)
        if self._tracker:
            # Looked for again: an upload that broke off may have made room for another one.
            self._tracker.do(
                lambda run: (find_run(run.client, self._run_id) or run).end(_STATUS[state], problem)
            )
            self._tracker.close(_SECONDS_TO_CLOSE)

    def _keep(self, warning: str) -> None:
        self.warning = warning


def _end_abandoned(run: TrackedRun, directory: Path) -> None:
    """Ends the runs of this machine that were killed together with their command.

    Args:
        run: That of this process.
        directory: Its folder.
    """
    place = f"{socket.gethostname()}:"
    run.client.set_tag(run.id, _FOLDER_TAG, f"{place}{directory}")
    for other in run.still_running(_FOLDER_TAG, place):
        folder = Path(other.run.data.tags[_FOLDER_TAG].removeprefix(place))
        if other.id != run.id and not (folder.is_dir() and is_at_work(folder)):
            other.end(KILLED, "killed together with the command that ran it")


def _problem(tasks: Sequence[TaskResult]) -> str:
    failed = [task for task in tasks if task.state == "failed"]
    return "\n".join(problem_text(task.name, task.problems) for task in failed)


def _works_with_registry(pipeline: BaseComponent) -> bool:
    """Whether a task is told of a registry: a pipeline of one's own need not register anything."""
    components = pipeline.pipeline_spec.components.values()
    return any("registry_uri" in one.input_definitions.parameters for one in components)
