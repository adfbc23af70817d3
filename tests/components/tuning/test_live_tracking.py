"""The trainer's log history, handed over while it grows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any, cast

from kfp_llm_tuning.components.tracking.live_curves import LiveCurves
from kfp_llm_tuning.components.tuning.live_tracking import LiveTracking


class Entries:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.kept: list[Mapping[str, Any]] = []
        self.closed = 0

    def add(self, entries: Iterable[Mapping[str, Any]]) -> None:
        self.kept += entries

    def close(self) -> None:
        self.closed += 1


def state(main: bool, *history: dict[str, Any]) -> Any:
    return SimpleNamespace(is_world_process_zero=main, log_history=list(history))


def test_the_main_process_hands_over_what_was_and_what_comes() -> None:
    entries = Entries()
    tracking = LiveTracking(lambda: [cast(LiveCurves, entries)])
    tracking.on_train_begin(None, state(True, {"step": 10}), None)
    tracking.on_log(None, None, None, {"step": 20})
    tracking.close()
    assert entries.kept == [{"step": 10}, {"step": 20}]
    assert entries.closed == 1


def test_other_processes_track_nothing() -> None:
    tracking = LiveTracking(lambda: [cast(LiveCurves, Entries())] * 1_000)
    tracking.on_train_begin(None, state(False), None)
    tracking.on_log(None, None, None, {"step": 20})
    tracking.close()
    assert not tracking._curves
