"""The runs on this machine as a person asks for them: how each stands, and what came of it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.platforms import LOCAL
from kfp_llm_tuning.components.common.registry_location import default_registry_uri
from kfp_llm_tuning.components.parameters.pipeline import TEMPLATES, TUNER_ARGUMENTS
from kfp_llm_tuning.pipelines.local_runs import run_directory, run_record
from kfp_llm_tuning.pipelines.local_runs.relocation import Relocation
from kfp_llm_tuning.pipelines.local_runs.run_processes import stop_left_behind
from kfp_llm_tuning.pipelines.local_runs.run_record import RunRecord, TaskRecord
from kfp_llm_tuning.pipelines.local_runs.run_summary import RunSummary, read_summary

# What a run on this machine is given where nobody says it.
_DEFAULTS = {"project": LOCAL.name}
RUNNING, KILLED = "running", "killed"
REGISTERED, REFUSED, DONE = "registered", "refused by the gate", "done"


@dataclass(frozen=True)
class SeenRun:
    """A run as it stands now.

    Attributes:
        directory: Its folder.
        record: What it wrote down of itself.
        at_work: Whether a command works in it.
    """

    directory: Path
    record: RunRecord
    at_work: bool

    @property
    def state(self) -> str:
        """Running, killed, failed, interrupted, registered, refused by the gate, or done."""
        if self.at_work:
            return RUNNING
        if self.record.state == "running":
            return KILLED
        if self.record.state != "succeeded":
            return self.record.state
        if self.summary is None:
            return DONE
        return REFUSED if self.summary.refused else REGISTERED

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """As given, paths as they are now."""
        return dict(self._relocation.as_now(dict(self.record.parameters)))

    @cached_property
    def summary(self) -> RunSummary | None:
        """What it made; None where it is not done, made no model, or its files are gone."""
        outputs = {task.name: self._relocation.as_now(task.outputs) for task in self.record.tasks}
        if self.record.state != "succeeded":
            return None
        try:
            return read_summary(self.directory, outputs)
        except (KeyError, OSError, ValueError):
            return None

    @property
    def model(self) -> str:
        """What it tunes: the model reference; empty of a pipeline of one's own without one."""
        inputs = TEMPLATES.get(self.record.template, {})
        default = inputs["large_model_reference"].default if inputs else ""
        return str(self.parameters.get("large_model_reference", default))

    @property
    def data(self) -> str:
        """The name of its training data."""
        uri = str(self.parameters.get("dataset_uri") or self.parameters.get("dataset_name") or "")
        return uri.rstrip("/").rpartition("/")[2]

    @property
    def registry_uri(self) -> str:
        """Where it registers models."""
        own = default_registry_uri(self.directory.parent)
        return str(self.parameters.get("registry_uri") or own)

    @property
    def failed_tasks(self) -> tuple[TaskRecord, ...]:
        """The tasks that failed in its last try."""
        return tuple(task for task in self.record.tasks if task.state == "failed")

    @property
    def log_directory(self) -> Path:
        """The folder of its logs."""
        return self.directory / "logs"

    def bytes(self) -> int:
        """Adds up the sizes of its files."""
        paths = self.directory.rglob("*")
        return sum(path.lstat().st_size for path in paths if not path.is_dir())

    def changed_parameters(self) -> dict[str, Any]:
        """The parameters that differ from their defaults, those of the tuner by their own names."""
        inputs = TEMPLATES.get(self.record.template, {})
        changed = {
            name: value
            for name, value in self.parameters.items()
            if name not in inputs or value != _DEFAULTS.get(name, inputs[name].default)
        }
        further: dict[str, Any] = changed.pop(TUNER_ARGUMENTS, {})
        return {**changed, **further}

    @cached_property
    def _relocation(self) -> Relocation:
        made = Path(self.record.directory or self.directory)
        return Relocation.of_run(made, self.directory)


def see(directory: Path) -> SeenRun:
    """Looks at one run.

    Args:
        directory: Its folder.

    Returns:
        The run.

    Raises:
        UserError: If its record cannot be read.
    """
    directory = directory.resolve()
    # First: a run that ends between the two looks would pass for killed.
    at_work = run_directory.is_at_work(directory)
    return SeenRun(directory, run_record.read(directory), at_work)


def see_all(output_directory: Path) -> tuple[list[SeenRun], list[Problem]]:
    """Looks at every run in a folder.

    Args:
        output_directory: The folder of all runs.

    Returns:
        The runs, the last begun first; and why others cannot be read.
    """
    seen: list[SeenRun] = []
    problems: list[Problem] = []
    for directory in run_directory.runs_in(output_directory):
        try:
            seen.append(see(directory))
        except UserError as error:
            problems += error.problems
    return sorted(seen, key=lambda run: run.record.started_at, reverse=True), problems


def begun_before(run: SeenRun, age: timedelta) -> bool:
    """Tells whether a run was begun longer ago than an age."""
    if not run.record.started_at:
        return False
    return datetime.fromisoformat(run.record.started_at) < datetime.now(UTC) - age


def delete(run: SeenRun) -> None:
    """Deletes the folder of a run; what it registered stays.

    Args:
        run: A run that no command works in.

    Raises:
        UserError: If one does.
    """
    with run_directory.locked(run.directory):
        stop_left_behind(run.directory)
        # Without its record it is no run any more, should this be killed half-way.
        (run.directory / run_record.FILE).unlink()
        shutil.rmtree(run.directory)
