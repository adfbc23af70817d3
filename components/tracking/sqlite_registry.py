"""Makes MLflow's database in a SQLite file whole, and mends one whose making was interrupted.

MLflow makes its tables and migrates them in the file itself, one statement after the other: a
process killed meanwhile, or two that begin at once, leave a file that MLflow never opens again.
Here a database is made or migrated in a file aside, which then takes the name: the name has a whole
database or none. The caller holds the registry's lock.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import psutil

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.folders import scratch_folder, sync
from kfp_llm_tuning.components.common.registry_location import artifacts_folder
from kfp_llm_tuning.components.tracking.sqlite_rows import (
    copy_rows,
    opened,
    revision,
    rows_of_users,
    tables,
)

_WHERE = "registry_uri"
# What SQLite keeps beside a database; of another database they would be read as this one's.
_COMPANIONS = ("-journal", "-wal", "-shm")

_logger = logging.getLogger(__name__)


def is_whole(database: Path) -> bool:
    """Tells whether MLflow opens a file as it is: every table, at the newest revision.

    Args:
        database: The file; it need not be there.

    Raises:
        UserError: If it is no SQLite database, or stays locked.
    """
    from mlflow.store.db.base_sql_model import Base
    from mlflow.store.db.utils import _get_latest_schema_revision

    if _is_empty(database):
        return False
    with opened(database) as connection:
        missing = set(Base.metadata.tables) - set(tables(connection))
        return not missing and revision(connection) == _get_latest_schema_revision()


def make_whole(database: Path) -> None:
    """Makes a database that is not there, and migrates or mends one that is not whole.

    One in which nothing was registered is made anew. One with content is migrated, or, where a
    migration was killed in it, copied into a new one; the file as it was stays beside it.

    Args:
        database: The file; its folder is made where it is not there.

    Raises:
        UserError: If it is no SQLite database, is damaged, is of a newer MLflow, is open in another
            program, or stays locked. It is then left as it was.
    """
    if _is_empty(database):
        _put_in_place(database, None)
        return
    with opened(database) as connection:
        rows, made_by = rows_of_users(connection), revision(connection)
    _refuse_newer(database, made_by)
    _refuse_while_open(database)
    if rows:
        kept = _keep(database, made_by)
        _put_in_place(database, database)
        _logger.warning(
            "The registry %s was of an older MLflow, or its migration had been interrupted. It was "
            "brought up to date with all that it holds (%s); as it was, it is kept as %s.",
            database,
            ", ".join(f"{count:,} {table}" for table, count in rows.items()),
            kept,
        )
    else:
        _put_in_place(database, None)
        _logger.warning(
            "The registry %s was half made, and nothing was registered in it: made anew.", database
        )


def _is_empty(database: Path) -> bool:
    return not database.is_file() or not database.stat().st_size


def _refuse_newer(database: Path, made_by: str) -> None:
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.version import VERSION

    known = ScriptDirectory.from_config(_get_alembic_config("")).walk_revisions()
    if made_by and made_by not in {script.revision for script in known}:
        raise UserError(
            Problem(
                f"the registry {database} is of a newer MLflow (revision {made_by}) than the one "
                f"installed here, {VERSION}.",
                _WHERE,
                fix="Install that MLflow here, or name another registry.",
            )
        )


def _refuse_while_open(database: Path) -> None:
    """Leaves alone what another program makes or uses: it would go on with the old file."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            paths = {file.path for file in process.open_files()}
            if str(database.resolve()) in paths and process.pid != os.getpid():
                raise UserError(
                    Problem(
                        f"the registry {database} is not whole, and process {process.pid} "
                        f"({process.name()}) has it open.",
                        _WHERE,
                        fix="Wait until that has made it, or end it, and run this again.",
                    )
                )


def _keep(database: Path, made_by: str) -> Path:
    """Copies a database beside itself; one of this name is of an earlier try, and stays."""
    kept = database.with_name(f"{database.name}.before-{made_by or 'migration'}")
    number = 1
    while kept.exists():
        number += 1
        kept = kept.with_suffix(f".before-{made_by or 'migration'}-{number}")
    _copy(database, kept)
    return kept


def _copy(source: Path, target: Path) -> None:
    with opened(source) as reader, contextlib.closing(sqlite3.connect(target)) as writer:
        reader.backup(writer)


def _put_in_place(database: Path, old: Path | None) -> None:
    """Makes a database aside, from an old one where there is one, and gives it its name."""
    database.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(database.parent, f".{database.name}.making-") as scratch:
        aside = scratch / database.name
        if old is None:
            _make(aside, database)
        else:
            _migrate(old, aside, database)
        if database.exists():
            shutil.copymode(database, aside)
        sync(aside)
        for companion in _COMPANIONS:
            database.with_name(database.name + companion).unlink(missing_ok=True)
        aside.rename(database)
        sync(database.parent)


def _make(aside: Path, database: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    # Files of MLflow's own experiment lie beside the database, as those of ours.
    artifacts = artifacts_folder(database).as_uri()
    SqlAlchemyStore(f"sqlite:///{aside}", artifacts).engine.dispose()


def _migrate(old: Path, aside: Path, database: Path) -> None:
    _copy(old, aside)
    if not _upgraded(aside):
        _logger.info("A migration of %s was interrupted: copying its rows.", old)
        aside.unlink()
        _make(aside, database)
        with opened(old) as source:
            copy_rows(source, aside)


def _upgraded(aside: Path) -> bool:
    """Runs MLflow's own migrations, and tells whether they lead to a whole database."""
    from mlflow.exceptions import MlflowException
    from mlflow.store.db.utils import _upgrade_db, create_sqlalchemy_engine
    from sqlalchemy.exc import SQLAlchemyError

    engine: Any = create_sqlalchemy_engine(f"sqlite:///{aside}")
    try:
        _upgrade_db(engine)
    except (MlflowException, SQLAlchemyError):
        return False
    finally:
        engine.dispose()
    return is_whole(aside)
