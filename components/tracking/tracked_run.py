"""The MLflow run of a pipeline run: opened when that begins, and found again by all its tasks.

Who comes first makes it, with the pipeline run's id as a tag; everyone after finds it by that, also
after a kill. Where Kubeflow Pipelines has an MLflow plugin, its API server opens a run for each
pipeline run and tags it with the id: that one is joined, and begun and ended by Kubeflow alone.

What is logged is logged once: a parameter and the point of a curve that are there stay as they are.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common import registry_location
from kfp_llm_tuning.components.common.credentials import hide_credentials
from kfp_llm_tuning.components.common.primary_metric import PrimaryMetric, of_figures
from kfp_llm_tuning.components.tracking.connection import (
    connect,
    exclusive,
    experiment_id,
    when_unlocked,
)
from kfp_llm_tuning.components.tracking.curves import CurvePoint, flatten

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# Names the pipeline run to its tasks: what Kubeflow's documentation calls it.
RUN_ID_VARIABLE = "KFP_RUN_ID"

RUN_TAG = "kfp_llm_tuning.pipeline_run_id"
# The metric that the evaluation judges by.
PRIMARY_TAG = "kfp_llm_tuning.primary_metric"
PROBLEM_TAG = "kfp_llm_tuning.problem"
# Of a run of ours that compares: which model's metrics it holds.
SIDE_TAG = "kfp_llm_tuning.side"
# What Kubeflow Pipelines' plugin tags the run with that it opens
# (backend/src/apiserver/plugins/mlflow/util.go of kubeflow/pipelines).
_KUBEFLOW_TAG = "kfp.pipeline_run_id"
_PARENT_TAG = "mlflow.parentRunId"

_PROBLEM_LINES = 5

RUNNING, FINISHED, FAILED, KILLED = "RUNNING", "FINISHED", "FAILED", "KILLED"


@dataclass(frozen=True)
class TrackedRun:
    """An MLflow run that belongs to a pipeline run.

    Attributes:
        client: An open registry.
        run: The run as it was found or made.
    """

    client: MlflowClient
    run: Run

    @property
    def id(self) -> str:
        """MLflow's id of it."""
        return str(self.run.info.run_id)

    @property
    def is_kubeflows(self) -> bool:
        """Whether Kubeflow Pipelines opened it, and will end it."""
        return _KUBEFLOW_TAG in self.run.data.tags

    @property
    def primary(self) -> PrimaryMetric | None:
        """The metric that its evaluation judged by; None before there is one."""
        return of_figures(self.run.data.tags.get(PRIMARY_TAG, ""), self.run.data.metrics)

    def begin(self) -> None:
        """Makes it a running one, also where an earlier try of the pipeline run has ended."""
        if PROBLEM_TAG in self.run.data.tags:
            self.client.delete_tag(self.id, PROBLEM_TAG)
        if not self.is_kubeflows and self.run.info.status != RUNNING:
            self.client.update_run(self.id, status=RUNNING)

    def end(self, status: str, problem: str = "") -> None:
        """Ends it.

        Args:
            status: ``FINISHED``, ``FAILED`` or ``KILLED``.
            problem: What people have to know of a run that ended otherwise than they hoped.
        """
        if problem:
            self.client.set_tag(self.id, PROBLEM_TAG, hide_credentials(problem))
        if not self.is_kubeflows:
            self.client.set_terminated(self.id, status)

    def log_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Logs what the run was asked to do; what is there already keeps its value.

        Args:
            parameters: By name, also nested; what is empty is left out, and passwords are hidden.
        """
        from mlflow.entities import Param
        from mlflow.utils.validation import MAX_PARAMS_TAGS_PER_BATCH

        there = self.client.get_run(self.id).data.params
        given = {name: hide_credentials(str(value)) for name, value in flatten(parameters)}
        missing = [
            Param(name, value) for name, value in given.items() if value and name not in there
        ]
        for batch in batches(missing, MAX_PARAMS_TAGS_PER_BATCH):
            self.client.log_batch(self.id, params=batch)

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Logs final values, which belong to no step; logged again, they are the same points."""
        start = self.run.info.start_time / 1000
        self.log_points(CurvePoint(name, value, 0, start) for name, value in metrics.items())

    def log_points(self, points: Iterable[CurvePoint]) -> None:
        """Logs points of curves; ``Curves`` leaves out those that are there."""
        from mlflow.entities import Metric
        from mlflow.utils.validation import MAX_METRICS_PER_BATCH

        start = self.run.info.start_time
        metrics = [
            # No time of now: a point logged again is then the same point to MLflow.
            Metric(
                point.name,
                point.value,
                round(1000 * point.time) if point.time else start,
                point.step,
            )
            for point in points
        ]
        for batch in batches(metrics, MAX_METRICS_PER_BATCH):
            self.client.log_batch(self.id, metrics=batch)

    def describe(self, text: str) -> None:
        """Writes what MLflow shows as the run's description, where people have written none.

        Args:
            text: Markdown.
        """
        from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

        if text and MLFLOW_RUN_NOTE not in self.client.get_run(self.id).data.tags:
            self.client.set_tag(self.id, MLFLOW_RUN_NOTE, text)

    def discard(self) -> None:
        """Deletes it with the runs below it and, where they are on this machine, its files.

        MLflow keeps its figures until ``mlflow gc``, and so do servers the files. A run that
        Kubeflow Pipelines opened is Kubeflow's, and stays.
        """
        if not self.is_kubeflows:
            for child in self._search(f"tags.`{_PARENT_TAG}` = '{self.id}'"):
                self.client.delete_run(child.info.run_id)
            self.client.delete_run(self.id)
        if folder := registry_location.local_artifacts(self.run.info.artifact_uri):
            shutil.rmtree(folder, ignore_errors=True)

    def _search(self, filter_string: str) -> list[Run]:
        return list(self.client.search_runs([self.run.info.experiment_id], filter_string))

    def still_running(self, tag: str, prefix: str) -> list[TrackedRun]:
        """Lists the runs beside this one that have not ended.

        Args:
            tag: Only runs that have it.
            prefix: What its value begins with.
        """
        condition = f"attributes.status = '{RUNNING}' and tags.`{tag}` LIKE '{prefix}%'"
        return [TrackedRun(self.client, run) for run in self._search(condition)]

    def side(self, name: str) -> TrackedRun:
        """Finds or makes a run below this one that holds one model's metrics.

        MLflow shows runs as columns of one chart where they have metrics of the same names.

        Args:
            name: ``base`` or ``tuned``.
        """
        found = self._search(f"tags.`{_PARENT_TAG}` = '{self.id}' and tags.`{SIDE_TAG}` = '{name}'")
        if found:
            return TrackedRun(self.client, found[0])
        made = self.client.create_run(
            self.run.info.experiment_id,
            tags={_PARENT_TAG: self.id, SIDE_TAG: name},
            run_name=f"{self.run.info.run_name} {name}",
        )
        return TrackedRun(self.client, made)


def problem_text(task: str, problems: Sequence[object]) -> str:
    """Writes what ended a run: the task that failed, and the first mistakes that it told of."""
    first = [str(problem) for problem in problems[:_PROBLEM_LINES]]
    more = [f"and {len(problems) - len(first)} more"] if len(problems) > len(first) else []
    return "\n".join([f"{task} failed", *first, *more])


class Curves:
    """The curves of a run, in which no step stands twice: not after a kill, not from two tasks."""

    def __init__(self, run: TrackedRun) -> None:
        """Takes the run that they belong to."""
        self._run = run
        self._steps: dict[str, set[int]] = {}

    def log(self, points: Iterable[CurvePoint]) -> None:
        """Logs the points that are not there yet."""
        missing = [point for point in points if point.step not in self._steps_of(point.name)]
        self._run.log_points(missing)
        for point in missing:
            self._steps[point.name].add(point.step)

    def _steps_of(self, name: str) -> set[int]:
        if name not in self._steps:
            history = self._run.client.get_metric_history(self._run.id, name)
            self._steps[name] = {point.step for point in history}
        return self._steps[name]


def batches(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """Cuts a sequence into parts of at most a size."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def find_run(client: MlflowClient, run_id: str) -> TrackedRun | None:
    """Finds the MLflow run of a pipeline run.

    Args:
        client: An open registry.
        run_id: Of the pipeline run; without quotes and backslashes.

    Returns:
        Ours where there is one, else the one that Kubeflow Pipelines opened; of several the oldest.
    """
    experiments = [experiment.experiment_id for experiment in _every_experiment(client)]
    for tag in (RUN_TAG, _KUBEFLOW_TAG):
        found = client.search_runs(
            experiments,
            f"tags.`{tag}` = '{run_id}'",
            order_by=["attributes.start_time ASC"],
            max_results=1,
        )
        if found:
            return TrackedRun(client, found[0])
    return None


def _every_experiment(client: MlflowClient) -> list[Any]:
    experiments: list[Any] = []
    token = None
    while True:
        page = client.search_experiments(page_token=token)
        experiments += page
        token = page.token
        if not token:
            return experiments


def make_run(
    client: MlflowClient, run_id: str, name: str, tags: Mapping[str, str] | None = None
) -> TrackedRun:
    """Makes the MLflow run of a pipeline run.

    Args:
        client: An open registry, which the caller holds alone (``connection.exclusive``).
        run_id: Of the pipeline run.
        name: What people call the run.
        tags: Further tags.
    """
    all_tags = {**(tags or {}), RUN_TAG: run_id}
    run = client.create_run(experiment_id(client), tags=all_tags, run_name=name)
    return TrackedRun(client, run)


def open_run(registry_uri: str, run_id: str, name: str) -> TrackedRun:
    """Finds the MLflow run of a pipeline run or makes it, and makes it a running one.

    Args:
        registry_uri: The registry; made where it is a SQLite file that is not there.
        run_id: Of the pipeline run.
        name: What people call the run.

    Raises:
        UserError: If the registry cannot be opened.
    """
    client = connect(registry_uri)

    def opened() -> TrackedRun:
        with exclusive(registry_uri):
            run = find_run(client, run_id) or make_run(client, run_id, name)
        run.begin()
        return run

    return when_unlocked(registry_uri, opened)
