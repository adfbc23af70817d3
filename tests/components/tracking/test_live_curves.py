"""Curves that grow in MLflow while a model is tuned, and trackers that are down or slow."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable

import pytest

from kfp_llm_tuning.components.tracking import live_curves
from kfp_llm_tuning.components.tracking.connection import connect
from kfp_llm_tuning.components.tracking.curves import CurvePoint
from kfp_llm_tuning.components.tracking.live_curves import LiveCurves, MlflowCurveLog
from kfp_llm_tuning.components.tracking.tracked_run import RUN_ID_VARIABLE, open_run


class Log:
    """Keeps what it is given, after it has failed so many times."""

    def __init__(self, failures: int = 0) -> None:
        self.points: list[CurvePoint] = []
        self.failures = failures
        self.closed = False

    def log(self, points: Iterable[CurvePoint]) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("no route to https://name:secret@host")
        self.points += points

    def close(self) -> None:
        self.closed = True


def entry(step: int) -> dict[str, float]:
    return {"step": step, "wall_time": 100.0 + step, "/train_total_loss": 1.0 / step}


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_curves, "_SECONDS_BETWEEN_WRITES", 0.0)


def test_curves_and_metrics_of_the_machine_stand_in_the_run(
    registry_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    curves = LiveCurves("MLflow", lambda: MlflowCurveLog(registry_uri, "run-1", "intents"))
    curves.add([entry(1), entry(2)])
    client = connect(registry_uri)
    run = open_run(registry_uri, "run-1", "intents")
    while not client.get_metric_history(run.id, "system/cpu_utilization_percentage"):
        time.sleep(0.02)
    curves.close()
    curve = client.get_metric_history(run.id, "train_total_loss")
    assert [(point.step, point.value, point.timestamp) for point in curve] == [
        (1, 1.0, 101_000),
        (2, 0.5, 102_000),
    ]


def test_what_a_tracker_did_not_take_is_written_later_and_told_once(
    at_once: None, caplog: pytest.LogCaptureFixture
) -> None:
    log = Log(failures=2)
    curves = LiveCurves("MLflow", lambda: log)
    for step in range(1, 50):
        curves.add([entry(step)])
        time.sleep(0.001)
    curves.close()
    assert [point.step for point in log.points] == list(range(1, 50))
    assert log.closed
    assert len(caplog.messages) == 1
    assert "ConnectionError: no route to" in caplog.text
    assert "secret" not in caplog.text


def test_a_tracker_that_answers_nothing_delays_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(live_curves, "_SECONDS_TO_CLOSE", 0.05)
    answers = threading.Event()

    def never() -> Log:
        answers.wait()
        return Log()

    curves = LiveCurves("MLflow", never)
    curves.add([entry(1)])
    curves.close()
    answers.set()
    assert "MLflow is slow" in caplog.text


def test_a_component_on_its_own_is_not_tracked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RUN_ID_VARIABLE, raising=False)
    assert live_curves.live_curves("sqlite:///mlflow.db", "intents", "", {}) == []
    monkeypatch.setenv(RUN_ID_VARIABLE, "run-1")
    assert live_curves.live_curves("", "intents", "", {}) == []
