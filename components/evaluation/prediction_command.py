"""Batch prediction on folders that may be anywhere: brought to this machine before, taken after."""

from __future__ import annotations

import logging
import tempfile
import traceback
from pathlib import Path

from kfp_llm_tuning.components.common import storage, transfers
from kfp_llm_tuning.components.common.errors import error_sentence, exit_on_error
from kfp_llm_tuning.components.evaluation.artifacts import PREDICTIONS_WRITTEN_LAST
from kfp_llm_tuning.components.evaluation.local_model import BaseModelReference
from kfp_llm_tuning.components.evaluation.prediction import batch_predict
from kfp_llm_tuning.components.evaluation.prediction_task import PredictionTask, write_failure


def carry_out(task: PredictionTask) -> None:
    """Does a task as a process of its own does it.

    Args:
        task: The task.

    Raises:
        SystemExit: If it fails, after it was told why.
    """
    # A copy of its task's process logs as a command that was started afresh.
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    with exit_on_error():
        predict(task)


def predict(task: PredictionTask) -> None:
    """Does a task on this machine.

    Args:
        task: The task.

    Raises:
        UserError: If the model or the records cannot be read, or do not fit; and as below:
        Exception: Whatever goes wrong, unless failures are written down.
    """
    with tempfile.TemporaryDirectory(prefix="predictions-") as folder:
        scratch = Path(folder)
        remote = not storage.is_local(task.predictions)
        output = scratch / "predictions" if remote else storage.local_path(task.predictions)
        try:
            _predict(task, scratch, output)
        except Exception as error:
            if not task.continue_on_failure:
                raise
            traceback.print_exc()
            write_failure(output, task, error_sentence(error))
        if remote:
            with storage.failures_explained(f"write {task.predictions}", "predictions"):
                transfers.mirror_directory(output, task.predictions, PREDICTIONS_WRITTEN_LAST)


def _predict(task: PredictionTask, scratch: Path, output: Path) -> None:
    model = (
        _brought(task.saved_model, scratch, "saved_model")
        if task.saved_model
        else BaseModelReference(
            task.model_reference, task.tuning_method, task.accelerator, task.max_context_length
        )
    )
    batch_predict(
        _brought(task.evaluation_records, scratch, "evaluation_records"),
        _brought(task.training_records, scratch, "training_records"),
        model,
        output,
    )


def _brought(uri: str, scratch: Path, name: str) -> Path:
    """Gives a folder of this machine: the one that is named, or a copy of it."""
    if storage.is_local(uri):
        return storage.local_path(uri)
    with storage.failures_explained(f"read {uri}", name):
        transfers.download_directory(uri, scratch / name)
    return scratch / name
