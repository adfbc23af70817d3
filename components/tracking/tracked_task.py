"""A task of a pipeline run that nobody watches over: it shows the run in MLflow, and its failure.

On this machine the runner does that. A cluster starts tasks and keeps what becomes of them to
itself, so that the tasks which may refuse a run, and know the registry, say it themselves.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kfp_llm_tuning.components.common.errors import RunAgain, UserError, error_sentence
from kfp_llm_tuning.components.tracking.background import BackgroundTracker
from kfp_llm_tuning.components.tracking.tracked_run import (
    FAILED,
    RUN_ID_VARIABLE,
    TrackedRun,
    open_run,
    problem_text,
)

# Set where a program of ours watches over the run, and opens and ends its MLflow run.
WATCHED_VARIABLE = "KFP_LLM_TUNING_RUN_WATCHED"
_SECONDS_TO_CLOSE = 30.0


@contextmanager
def tracked_task(
    task: str, registry_uri: str, name: str, parameters: Mapping[str, Any] | None = None
) -> Iterator[None]:
    """Opens the run in MLflow, or joins it; where the block fails, so has the run.

    Args:
        task: The task's name.
        registry_uri: The registry; empty: nothing is tracked.
        name: What people call the run.
        parameters: What the run is asked to do, where the task knows it.

    Yields:
        Nothing; MLflow is written to in the background.
    """
    run_id = os.environ.get(RUN_ID_VARIABLE, "")
    if not registry_uri or not run_id or WATCHED_VARIABLE in os.environ:
        yield
        return
    tracker: BackgroundTracker[TrackedRun] = BackgroundTracker(
        "MLflow", lambda: open_run(registry_uri, run_id, name)
    )
    tracker.do(lambda run: run.log_parameters(parameters or {}))
    try:
        yield
    except RunAgain:
        raise
    except Exception as error:
        problems = error.problems if isinstance(error, UserError) else (error_sentence(error),)
        text = problem_text(task, problems)
        tracker.do(lambda run: run.end(FAILED, text))
        raise
    finally:
        tracker.close(_SECONDS_TO_CLOSE)
