"""A SQLite registry whose folder was moved: MLflow keeps whole paths of the files of its models."""

from __future__ import annotations

import logging
from pathlib import Path

from kfp_llm_tuning.components.common.registry_location import artifacts_folder, local_artifacts
from kfp_llm_tuning.components.tracking.sqlite_rows import opened

# Where MLflow 3 keeps URIs of files.
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)

_logger = logging.getLogger(__name__)


def take_along(database: Path, experiment: str) -> None:
    """Mends the paths in a registry that was moved or copied with its files; tells of it.

    Args:
        database: MLflow's whole database.
        experiment: Name of the experiment that holds every tuning run.

    Raises:
        UserError: If the database stays locked, or may not be written to.
    """
    folder = artifacts_folder(database)
    now = folder.as_uri()
    with opened(database) as connection:
        row = connection.execute(
            "SELECT artifact_location FROM experiments WHERE name = ?", (experiment,)
        ).fetchone()
        before = row[0] if row else now
        if before == now or not _is_moved(before, folder):
            return
        with connection:
            for table, column in _PLACES:
                connection.execute(
                    f"UPDATE {table} SET {column} = :now || substr({column}, length(:before) + 1)"
                    f" WHERE substr({column} || '/', 1, length(:before) + 1) = :before || '/'",
                    {"before": before, "now": now},
                )
    _logger.warning("The registry was moved from %s to %s: so are its models.", before, now)


def _is_moved(uri: str, folder: Path) -> bool:
    """Tells whether files that were elsewhere are here now; a link to them is no move."""
    before = local_artifacts(uri)
    if before is None or before.name != folder.name or not folder.is_dir():
        return False
    return not (before.is_dir() and before.samefile(folder))
