"""A pipeline run in Weights & Biases: curves as they grow, and the figures of its evaluation.

What it asks of its users stands in the environment: WANDB_API_KEY, WANDB_MODE=offline and the other
variables of its own. Nothing here waits for it, or fails with it.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.tracking.background import BackgroundTracker
from kfp_llm_tuning.components.tracking.curves import CurvePoint

# As report_to and its users spell it.
WANDB = "wandb"
TITLE = "Weights & Biases"
_PROJECT = "kfp-llm-tuning"
# Those that an id of a run may not hold.
_REFUSED = re.compile(r"[/\\#?%:]")
_SECONDS_TO_CLOSE = 60.0


def missing_package(report_to: str) -> list[Problem]:
    """Says what to install where a run is to be reported to what is not there.

    Args:
        report_to: The tuner's argument.

    Returns:
        A problem, or none.
    """
    if report_to != WANDB or importlib.util.find_spec(WANDB):
        return []
    fix = "Install it: pip install 'kfp-llm-tuning[wandb]'; or leave report_to out."
    return [Problem(f"{TITLE} needs the package wandb.", "report_to", fix=fix)]


class WandbCurveLog:
    """Curves in the run of Weights & Biases that has the pipeline run's id."""

    def __init__(self, run_id: str, name: str, config: Mapping[str, Any]) -> None:
        """Opens the run, or goes on with it.

        Args:
            run_id: Of the pipeline run; empty: one of its own.
            name: What people call the run.
            config: The tuner's arguments.
        """
        import wandb

        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or _PROJECT,
            id=_REFUSED.sub("-", run_id) or None,
            name=name,
            resume="allow" if run_id else None,
            config=dict(config) or None,
            # What a task prints is in its log, and the pipeline's.
            settings=wandb.Settings(console="off", silent=True),
        )

    def log(self, points: Iterable[CurvePoint]) -> None:
        """Writes points; of steps that are there Weights & Biases takes no second ones."""
        for step, together in groupby(points, key=lambda point: point.step):
            self._run.log({point.name: point.value for point in together}, step=step)

    def summarise(self, figures: Mapping[str, float]) -> None:
        """Writes final figures."""
        self._run.summary.update(dict(figures))

    def close(self) -> None:
        """Sends what is left."""
        self._run.finish()


def report_figures(run_id: str, name: str, figures: Mapping[str, float]) -> None:
    """Adds the figures of an evaluation to the run; what goes wrong is told as a warning.

    Args:
        run_id: Of the pipeline run.
        name: What people call the run.
        figures: Values by name.
    """
    tracker = BackgroundTracker(TITLE, lambda: WandbCurveLog(run_id, name, {}))
    tracker.do(lambda log: log.summarise(figures))
    tracker.do(lambda log: log.close())
    tracker.close(_SECONDS_TO_CLOSE)
