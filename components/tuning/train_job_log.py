"""What a TrainJob says of itself while it runs, in the log of the task that watches it."""

from __future__ import annotations

import json
import logging
from typing import Any

from kfp_llm_tuning.components.common import storage
from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.tuning.progress import Progress, format_seconds
from kfp_llm_tuning.components.tuning.tensorboard_metrics import HISTORY

logger = logging.getLogger(__name__)


class TrainJobLog:
    """Tells each state and progress once.

    Progress and the time that is left come from the job's status, where the cluster's Trainer has
    the feature TrainJobStatus; metrics from the history that the tuner writes, in the words and at
    the pace of its own log.
    """

    def __init__(self, metrics: str, steps: int) -> None:
        """Has told nothing yet.

        Args:
            metrics: The folder, a path or a URI, that history.jsonl comes to.
            steps: Steps of the whole run.
        """
        self._history = storage.join(metrics, HISTORY)
        self._progress = Progress(steps, interactive=False)
        self._progress.begin(0)
        self._told = ""
        self._lines = 0

    def tell(self, job: dict[str, Any]) -> None:
        """Tells what is new.

        Args:
            job: The TrainJob as it is now.
        """
        status = job.get("status") or {}
        text = _state(status)
        if text != self._told:
            logger.info("%s", text)
            self._told = text
        for line in self._new_lines():
            self._progress.show(json.loads(line))

    def _new_lines(self) -> list[str]:
        try:
            with storage.open_input(self._history) as stream:
                *lines, _half_written = stream.read().decode("utf-8", "replace").split("\n")
        except (UserError, OSError):
            return []  # Nothing is logged yet.
        new, self._lines = lines[self._lines :], max(self._lines, len(lines))
        return new


def _state(status: dict[str, Any]) -> str:
    jobs = {one["name"]: one for one in status.get("jobsStatus") or []}
    holding = [one for one in status.get("conditions") or [] if one["status"] == "True"]
    words = [f"{one['type']}: {one.get('message', '')}".rstrip(": ") for one in holding]
    words += [f"{name}: {one['ready']} ready, {one['failed']} failed" for name, one in jobs.items()]
    trainer = status.get("trainerStatus") or {}
    if "progressPercentage" in trainer:
        words.append(f"{trainer['progressPercentage']} % done")
    if "estimatedRemainingSeconds" in trainer:
        words.append(f"{format_seconds(trainer['estimatedRemainingSeconds'])} left")
    return f"TrainJob: {'; '.join(words) or 'waiting'}"
