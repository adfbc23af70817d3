"""Passes the trainer's log history on to a person and to files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from kfp_llm_tuning.components.tuning import processes
from kfp_llm_tuning.components.tuning.progress import Progress
from kfp_llm_tuning.components.tuning.tensorboard_metrics import MetricsWriter


class Reporter(TrainerCallback):
    """Progress on the screen, event files and history.jsonl; main process only."""

    def __init__(self, metrics: Path, steps: int) -> None:
        """Prepares the display.

        Args:
            metrics: Where the files go.
            steps: Steps of the whole run.
        """
        self._metrics = metrics
        self._progress = Progress(steps)
        self._writer: MetricsWriter | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Opens files and display."""
        if state.is_world_process_zero:
            self._writer = MetricsWriter(self._metrics, state.log_history)
            self._progress.begin(state.global_step)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        """Writes and shows one entry of the log history."""
        if self._writer is not None and logs is not None:
            self._writer.write(logs)
            self._progress.show(logs)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Closes what is open."""
        self.close()

    def rewrite(self, history: list[dict[str, Any]]) -> None:
        """Writes the files of a run that had finished before."""
        if processes.is_main():
            MetricsWriter(self._metrics, history).close()

    def close(self) -> None:
        """Closes files and display."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._progress.end()
