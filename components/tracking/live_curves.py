"""Curves that can be looked at while a model is tuned: in MLflow, and in Weights & Biases."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from kfp_llm_tuning.components.common.registry_location import (
    checked_registry_uri,
    with_credentials,
)
from kfp_llm_tuning.components.tracking.background import BackgroundTracker
from kfp_llm_tuning.components.tracking.curves import CurvePoint, points_of
from kfp_llm_tuning.components.tracking.tracked_run import RUN_ID_VARIABLE, Curves, open_run
from kfp_llm_tuning.components.tracking.weights_and_biases import TITLE, WANDB, WandbCurveLog

# So often at most are points written: a small model logs a hundred times a second.
_SECONDS_BETWEEN_WRITES = 2.0
# So many wait while a tracker is down; the older ones are dropped, and come with the upload.
_MOST_WAITING = 100_000
_SECONDS_TO_CLOSE = 10.0

_logger = logging.getLogger(__name__)


class CurveLog(Protocol):
    """Where points are written to."""

    def log(self, points: Iterable[CurvePoint]) -> None:
        """Writes points that are not there yet."""

    def close(self) -> None:
        """Ends what goes on beside it."""


class LiveCurves:
    """Writes a trainer's log entries to a tracker as they come, and never waits for it."""

    def __init__(self, title: str, open_it: Callable[[], CurveLog]) -> None:
        """Begins to open the tracker.

        Args:
            title: What people call the tracker.
            open_it: Opens it; called in another thread.
        """
        self._title = title
        self._tracker: BackgroundTracker[CurveLog] = BackgroundTracker(title, open_it)
        self._lock = threading.Lock()
        self._waiting: list[CurvePoint] = []
        self._write_is_due = False
        self._closing = threading.Event()
        self._last_write = 0.0

    def add(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Takes entries of the log history.

        Args:
            entries: As ``curves.points_of`` takes them.
        """
        points = [point for entry in entries for point in points_of(entry)]
        with self._lock:
            self._waiting = [*self._waiting, *points][-_MOST_WAITING:]
            is_due, self._write_is_due = self._write_is_due, True
        if not is_due:
            self._tracker.do(self._write)

    def close(self) -> None:
        """Writes what waits; a tracker that is slow or down is given up after some seconds."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._tracker.do(self._write)
        self._tracker.do(lambda log: log.close())
        if not self._tracker.close(_SECONDS_TO_CLOSE):
            _logger.warning("%s is slow: the last points of the curves are missing.", self._title)

    def _write(self, log: CurveLog) -> None:
        self._closing.wait(self._last_write + _SECONDS_BETWEEN_WRITES - time.monotonic())
        with self._lock:
            points, self._waiting, self._write_is_due = self._waiting, [], False
        try:
            log.log(points)
        except Exception:
            with self._lock:
                self._waiting = [*points, *self._waiting][-_MOST_WAITING:]
            raise
        finally:
            self._last_write = time.monotonic()


class MlflowCurveLog:
    """Curves in the MLflow run of the pipeline run, with metrics of this machine."""

    def __init__(self, registry_uri: str, run_id: str, name: str) -> None:
        """Opens the run.

        Args:
            registry_uri: The registry.
            run_id: Of the pipeline run.
            name: What people call the run.

        Raises:
            UserError: If the registry cannot be opened.
        """
        run = open_run(registry_uri, run_id, name)
        self._curves = Curves(run)
        self._monitor = _system_metrics(run.id, registry_uri)

    def log(self, points: Iterable[CurvePoint]) -> None:
        """Writes points that are not there yet."""
        self._curves.log(points)

    def close(self) -> None:
        """Writes the last metrics of this machine."""
        if self._monitor is not None:
            self._monitor.finish()


def _system_metrics(mlflow_run_id: str, registry_uri: str) -> Any:
    from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING as ENABLED
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    if ENABLED.is_set() and not ENABLED.get():
        return None
    uri = with_credentials(checked_registry_uri(registry_uri))
    monitor = SystemMetricsMonitor(mlflow_run_id, resume_logging=True, tracking_uri=uri)
    monitor.start()
    return monitor


def live_curves(
    registry_uri: str, name: str, report_to: str, config: Mapping[str, Any]
) -> list[LiveCurves]:
    """Begins to follow this process in all trackers that it was given.

    Args:
        registry_uri: The registry; empty: none.
        name: What people call the run.
        report_to: A further tracker, as the tuner's argument names it; empty: none.
        config: The tuner's arguments, which that shows beside the curves.

    Returns:
        MLflow where the process belongs to a pipeline run, which that of a component on its own
        does not, and the further tracker.
    """
    run_id = os.environ.get(RUN_ID_VARIABLE, "")
    found = []
    if registry_uri and run_id:
        found.append(LiveCurves("MLflow", lambda: MlflowCurveLog(registry_uri, run_id, name)))
    if report_to == WANDB:
        found.append(LiveCurves(TITLE, lambda: WandbCurveLog(run_id, name, config)))
    return found
