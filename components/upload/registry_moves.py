"""A SQLite registry whose folder was moved: MLflow keeps whole paths of the files of its models."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from kfp_llm_tuning.components.upload.registry_location import artifacts_folder, local_artifacts

# Where MLflow 3 keeps the places of files, of those that we make.
_COLUMNS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "model_versions": ("source", "storage_location"),
}

_logger = logging.getLogger(__name__)


def take_along(database: Path, experiment: str) -> None:
    """Mends the paths in a registry that was moved or copied with its files; tells of it.

    Args:
        database: MLflow's whole database.
        experiment: Name of the experiment that holds every tuning run.
    """
    folder = artifacts_folder(database)
    location = folder.as_uri()
    with closing(sqlite3.connect(database)) as connection:
        row = connection.execute(
            "SELECT artifact_location FROM experiments WHERE name = ?", (experiment,)
        ).fetchone()
    old = row[0] if row else location
    if old == location or not _is_moved(old, folder):
        return
    with closing(sqlite3.connect(database)) as connection, connection:
        for table, columns in _COLUMNS.items():
            for column in columns:
                connection.execute(
                    f"UPDATE {table} SET {column} = :new || substr({column}, length(:old) + 1)"
                    f" WHERE substr({column} || '/', 1, length(:old) + 1) = :old || '/'",
                    {"old": old, "new": location},
                )
    _logger.warning("The registry was moved from %s to %s: so are its models.", old, location)


def _is_moved(old: str, folder: Path) -> bool:
    """Tells whether files that were elsewhere are here now; a link to them is no move."""
    before = local_artifacts(old)
    if before is None or before.name != folder.name or not folder.is_dir():
        return False
    return not (before.is_dir() and before.samefile(folder))
