"""Opens the registry: one quiet MLflow client, one experiment, one lock."""

from __future__ import annotations

import logging
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from kfp_llm_tuning.components.common import registry_location
from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.tracking import registry_moves

if TYPE_CHECKING:
    from mlflow import MlflowClient

Result = TypeVar("Result")

EXPERIMENT = "kfp-llm-tuning"
# MLflow tells of every table it creates and every version it registers; we tell it ourselves.
_NOISY_LOGGERS = ("mlflow", "alembic")
# MLflow's own seven retries keep a person waiting for four minutes where no server is.
_RETRIES = "3"
# Seconds before another try where the database is locked; MLflow itself waits 20 s in each.
_PAUSES = (1.0, 2.0, 4.0, 8.0)
_LOCKED = re.compile(r"database( table)? is locked|lock wait timeout|deadlock", re.IGNORECASE)

_logger = logging.getLogger(__name__)


class RegistryLocked(UserError):
    """Another program holds the registry's database."""


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
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # The address that it prints where a run ends holds the password, where the server's does.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # Outside of the try: a driver of a database may be missing there, MLflow itself is no such.
    from mlflow import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    _quieten()
    try:
        if database:
            _ensure_whole(uri, database)
            registry_moves.take_along(database, EXPERIMENT)
        return when_unlocked(uri, lambda: _opened(uri))
    except (MlflowException, SQLAlchemyError, ImportError, OSError) as error:
        raise UserError(
            Problem(f"cannot open the registry {uri}: {error}", where="registry_uri")
        ) from error


def _opened(uri: str) -> MlflowClient:
    from mlflow import MlflowClient

    whole = registry_location.with_credentials(uri)
    client = MlflowClient(tracking_uri=whole, registry_uri=whole)
    client.search_registered_models(max_results=1)
    return client


def _ensure_whole(uri: str, database: Path) -> None:
    from kfp_llm_tuning.components.tracking import sqlite_registry

    if not sqlite_registry.is_whole(database):
        with exclusive(uri):
            # Another process may have made it while this one waited.
            if not sqlite_registry.is_whole(database):
                sqlite_registry.make_whole(database)


def _quieten() -> None:
    """Leaves what MLflow and alembic log to the errors that they raise."""
    for name in _NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def when_unlocked(registry_uri: str, action: Callable[[], Result]) -> Result:
    """Does something with a registry, again and again while another program holds its database.

    Args:
        registry_uri: The registry.
        action: What can be done again from its start.

    Returns:
        What the action returns.

    Raises:
        RegistryLocked: If the database stays locked.
    """
    for pause in _PAUSES:
        try:
            return _telling_of_locks(registry_uri, action)
        except RegistryLocked:
            _logger.warning("The registry is locked by another program: trying again.")
            time.sleep(pause * random.uniform(0.5, 1.0))
    return _telling_of_locks(registry_uri, action)


def _telling_of_locks(registry_uri: str, action: Callable[[], Result]) -> Result:
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import OperationalError

    try:
        return action()
    except (MlflowException, OperationalError) as error:
        if not _LOCKED.search(str(error)):
            raise
        raise RegistryLocked(
            Problem(
                f"another program holds the registry {registry_uri} locked.",
                where="registry_uri",
                fix="End what writes to it, or wait until it has ended, and run this again.",
            )
        ) from error


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
