"""Opens the registry: one quiet MLflow client, one experiment, one lock."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.storage import is_local, local_path
from kfp_llm_tuning.components.upload import registry_location

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EXPERIMENT = "kfp-llm-tuning"
# MLflow tells of every table it creates and every version it registers; we tell it ourselves.
_NOISY_LOGGERS = ("mlflow", "alembic")
# MLflow's own seven retries keep a person waiting for four minutes where no server is.
_RETRIES = "3"


def connect(registry_uri: str, create: bool = True) -> MlflowClient:
    """Opens the registry.

    Args:
        registry_uri: The URI for runs and registered models alike.
        create: Whether to create a SQLite file that is not there, with its folder.

    Returns:
        The client.

    Raises:
        UserError: If the URI is no registry, or the registry cannot be opened.
    """
    uri = registry_location.checked_registry_uri(registry_uri)
    database = registry_location.database_file(uri)
    if database and not create and not database.is_file():
        raise UserError(
            Problem(
                f"no registry at {database}: nothing was registered there yet.",
                where="registry_uri",
                fix="Run `kfp-llm-tuning run`, or name another registry with --registry-uri.",
            )
        )
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", _RETRIES)
    for name in _NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    # MLflow sets its own logger's level while it is imported.
    for name in _NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        if database:
            database.parent.mkdir(parents=True, exist_ok=True)
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.search_registered_models(max_results=1)
    except (MlflowException, SQLAlchemyError, ImportError, OSError) as error:
        raise UserError(
            Problem(f"cannot open the registry {uri}: {error}", where="registry_uri")
        ) from error
    return client


@contextmanager
def exclusive(registry_uri: str) -> Iterator[None]:
    """Lets one process of this machine at a time write to the registry.

    Args:
        registry_uri: The registry.

    Yields:
        Once, while the lock is held. The system frees it when the process dies.
    """
    from filelock import FileLock

    path = registry_location.lock_file(registry_location.checked_registry_uri(registry_uri))
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        yield


def experiment_id(client: MlflowClient) -> str:
    """Finds the experiment that holds every tuning run, or creates it.

    Args:
        client: An open registry.

    Returns:
        MLflow's number of the experiment. Its files lie beside a SQLite registry.
    """
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        location = registry_location.artifact_location(client.tracking_uri)
        return str(client.create_experiment(EXPERIMENT, artifact_location=location))
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)


def discard_run(client: MlflowClient, run: Run) -> None:
    """Deletes a run and, where they are on this machine, its files.

    MLflow keeps its figures until ``mlflow gc``, and so do servers the files.

    Args:
        client: An open registry.
        run: The run.
    """
    client.delete_run(run.info.run_id)
    if is_local(run.info.artifact_uri):
        shutil.rmtree(local_path(run.info.artifact_uri), ignore_errors=True)
