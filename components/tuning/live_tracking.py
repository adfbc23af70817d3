"""Passes the trainer's log history on to trackers while it grows; main process only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from transformers import TrainerCallback

from kfp_llm_tuning.components.tracking.live_curves import LiveCurves


class LiveTracking(TrainerCallback):
    """Curves in MLflow, and in Weights & Biases, as the run goes on."""

    def __init__(self, begin: Callable[[], Sequence[LiveCurves]]) -> None:
        """Takes what begins to track.

        Args:
            begin: Called in the main process alone, when training begins.
        """
        self._begin = begin
        self._curves: Sequence[LiveCurves] = ()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Begins with what an earlier session logged, of which the end may be missing there."""
        if state.is_world_process_zero:
            self._curves = self._begin()
            self._add(state.log_history)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        """Passes on one entry of the log history."""
        if logs is not None:
            self._add([logs])

    def close(self) -> None:
        """Gives the trackers some seconds to take what is left."""
        for curves in self._curves:
            curves.close()

    def _add(self, entries: Sequence[dict[str, Any]]) -> None:
        for curves in self._curves:
            curves.add(entries)
