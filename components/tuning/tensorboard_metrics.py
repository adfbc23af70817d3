"""Event files and history.jsonl: one truth, the trainer's log history, written twice."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HISTORY = "history.jsonl"

TRAIN_LOSS = "/train_total_loss"
TRAIN_CORRECT = "/train_fraction_of_correct_next_step_preds"
TRAIN_COUNT = "/train_num_predictions"
EVALUATION_LOSS = "/eval_total_loss"
EVALUATION_CORRECT = "/eval_fraction_of_correct_next_step_preds"
EVALUATION_COUNT = "/eval_num_predictions"

# Keys of a history line that are no metric.
_NOT_TAGS = {"step", "wall_time"}


class MetricsWriter:
    """Writes metrics as TensorBoard events and as JSON lines.

    torch's SummaryWriter strips the leading slash of the published tags, so events are written
    with TensorBoard's own writer.
    """

    def __init__(self, directory: Path, history: Sequence[Mapping[str, Any]] = ()) -> None:
        """Replaces what the directory holds by the history.

        A resumed run gives its checkpoint's history: later lines of the interrupted run vanish,
        and none stands twice.

        Args:
            directory: Where the files go; made where it is not there.
            history: Entries as in :meth:`write`.
        """
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        directory.mkdir(parents=True, exist_ok=True)
        for path in directory.glob("events.out.tfevents.*"):
            path.unlink()
        self._events = EventFileWriter(str(directory), flush_secs=5)
        self._history = (directory / HISTORY).open("w", encoding="utf-8")
        for entry in history:
            self.write(entry)

    def write(self, entry: Mapping[str, Any]) -> None:
        """Adds one logging.

        Args:
            entry: ``step``, ``wall_time`` (seconds since the epoch) and values by tag.
        """
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [
            Summary.Value(tag=tag, simple_value=value)
            for tag, value in entry.items()
            if tag not in _NOT_TAGS
        ]
        self._events.add_event(
            Event(
                wall_time=entry.get("wall_time", time.time()),
                step=entry["step"],
                summary=Summary(value=values),
            )
        )
        self._history.write(json.dumps(entry) + "\n")
        self._history.flush()

    def close(self) -> None:
        """Writes what is buffered and closes the files."""
        self._events.close()
        self._history.close()
