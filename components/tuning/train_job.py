"""Tunes in a TrainJob of Kubeflow Trainer: makes it, watches it, brings what came of it.

The nodes see none of this task's files, so that datasets and results go through the folder of the
run's checkpoints, which both see. A task that is tried again finds its job, running or done; a job
that failed is made anew, and goes on from the checkpoints.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common import storage, transfers
from kfp_llm_tuning.components.common.errors import Problem, RunAgain, UserError
from kfp_llm_tuning.components.common.kubernetes_objects import Kind, KubernetesObjects
from kfp_llm_tuning.components.models.checkpoint_files import PROVENANCE
from kfp_llm_tuning.components.tracking.tracked_run import RUN_ID_VARIABLE
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.command_line import MODULE, options
from kfp_llm_tuning.components.tuning.interruption import Interruption
from kfp_llm_tuning.components.tuning.places import TuningPlaces
from kfp_llm_tuning.components.tuning.train_job_log import TrainJobLog
from kfp_llm_tuning.components.tuning.train_job_manifest import (
    DIGEST,
    GROUP,
    PLURAL,
    VERSION,
    TrainJobSettings,
    train_job,
)

logger = logging.getLogger(__name__)

TRAIN_JOBS = Kind(GROUP, VERSION, PLURAL, "Kubeflow Trainer 2.2 or newer")
# Of the folder of checkpoints: what is handed over.
_SHARED = "train-job"
# Seconds between two looks.
_PAUSE = 5.0
_COMPLETE, _FAILED = "Complete", "Failed"


def tune_in_train_job(
    settings: TrainJobSettings, arguments: TuningArguments, places: TuningPlaces, machines: int
) -> dict[str, Any]:
    """Tunes a model on several machines.

    Args:
        settings: How the nodes are.
        arguments: What to do.
        places: Where this task reads and writes; only its checkpoints are where the nodes see them.
        machines: How many nodes.

    Returns:
        The content of the saved model's tuning.json.

    Raises:
        UserError: If the cluster refuses the job, or if it fails.
        RunAgain: If this task is asked to end; the job is deleted then, its checkpoints are kept.
    """
    shared = _shared_places(places)
    job = train_job(
        settings,
        ["python3", "-m", MODULE, *options(arguments, shared)],
        machines,
        os.environ.get(RUN_ID_VARIABLE, ""),
        places.checkpoints,
        {name: os.environ[name] for name in (RUN_ID_VARIABLE,) if name in os.environ},
    )
    name = str(job["metadata"]["name"])
    jobs = KubernetesObjects(TRAIN_JOBS)
    interruption = Interruption()
    with interruption.watching():
        _begin(jobs, job, lambda: _hand_over(places, shared), interruption)
        _wait(jobs, name, TrainJobLog(shared.metrics, arguments.train_steps), interruption)
    _fetch(shared.output, Path(places.output))
    _fetch(shared.metrics, Path(places.metrics))
    jobs.delete(name)
    transfers.delete_directory(storage.join(places.checkpoints, _SHARED), PROVENANCE)
    facts: dict[str, Any] = json.loads((Path(places.output) / PROVENANCE).read_text("utf-8"))
    return facts


def _shared_places(places: TuningPlaces) -> TuningPlaces:
    folder = storage.join(places.checkpoints, _SHARED)
    return dataclasses.replace(
        places,
        train_dataset=storage.join(folder, "train"),
        evaluation_dataset=storage.join(folder, "evaluation"),
        output=storage.join(folder, "output"),
        metrics=storage.join(folder, "metrics"),
    )


def _hand_over(places: TuningPlaces, shared: TuningPlaces) -> None:
    for name in ("train_dataset", "evaluation_dataset"):
        uri = getattr(shared, name)
        with storage.failures_explained(f"write {uri}", "checkpoint_directory"):
            transfers.mirror_directory(Path(getattr(places, name)), uri)


def _fetch(uri: str, folder: Path) -> None:
    with storage.failures_explained(f"read {uri}", "checkpoint_directory"):
        transfers.download_directory(uri, folder)


def _begin(
    jobs: KubernetesObjects,
    job: dict[str, Any],
    hand_over: Callable[[], None],
    interruption: Interruption,
) -> None:
    """Makes the job, unless it is there; one that failed, or is for something else, goes first."""
    name = job["metadata"]["name"]
    found = jobs.find(name)
    if found is not None and _is_this(found, job) and not _condition(found, _FAILED):
        logger.info("The TrainJob %s/%s is there: going on with it.", jobs.namespace, name)
        return
    if found is not None:
        logger.info("Deleting the TrainJob %s/%s of an earlier try.", jobs.namespace, name)
        jobs.delete(name)
        while jobs.find(name) is not None and not interruption.requested:
            time.sleep(_PAUSE)
    _end_if_asked(interruption)
    hand_over()
    jobs.create(job)
    trainer = job["spec"]["trainer"]
    logger.info(
        "Made the TrainJob %s/%s: %d nodes of %s.",
        jobs.namespace,
        name,
        trainer["numNodes"],
        trainer["image"],
    )


def _is_this(found: dict[str, Any], job: dict[str, Any]) -> bool:
    if found["metadata"].get("deletionTimestamp"):
        return False
    annotations = found["metadata"].get("annotations") or {}
    return bool(annotations.get(DIGEST) == job["metadata"]["annotations"][DIGEST])


def _wait(jobs: KubernetesObjects, name: str, log: TrainJobLog, interruption: Interruption) -> None:
    while True:
        if interruption.requested:
            # Its processes are asked to end, and save a checkpoint.
            jobs.delete(name)
        _end_if_asked(interruption)
        found = jobs.find(name)
        if found is None:
            what = f"somebody deleted the TrainJob {jobs.namespace}/{name}."
            raise UserError(Problem(what, "Kubernetes", fix="Try again: it goes on."))
        log.tell(found)
        if failed := _condition(found, _FAILED):
            raise UserError(_failure(jobs.namespace, name, failed))
        if _condition(found, _COMPLETE):
            return
        time.sleep(_PAUSE)


def _end_if_asked(interruption: Interruption) -> None:
    if interruption.requested:
        raise RunAgain(f"{interruption.reason}; the TrainJob is deleted, its checkpoints are kept.")


def _condition(found: dict[str, Any], kind: str) -> dict[str, Any] | None:
    """Gives a condition that holds; None where it does not."""
    conditions = (found.get("status") or {}).get("conditions") or []
    return next((one for one in conditions if (one["type"], one["status"]) == (kind, "True")), None)


def _failure(namespace: str, name: str, condition: dict[str, Any]) -> Problem:
    said = f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ")
    logs = f"kubectl logs --namespace {namespace} --selector jobset.sigs.k8s.io/jobset-name={name}"
    fix = f"{logs} tells why. The next try goes on from the newest checkpoint."
    return Problem(f"the TrainJob {namespace}/{name} failed: {said}.", "Kubernetes", fix=fix)
