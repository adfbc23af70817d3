"""Reads and copies the rows of a registry's SQLite file, whatever state its tables are in."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

from kfp_llm_tuning.components.common.errors import Problem, UserError

# Seconds that another program may hold the file.
_PATIENCE = 60.0
_WHERE = "registry_uri"
# Tables and rows that MLflow itself puts into an empty database.
_BOOKKEEPING = ("alembic_version", "workspaces")
_OF_NO_USER = {"experiments": "experiment_id = 0"}
# Left in the file where a migration was killed while it rebuilt a table.
_UNFINISHED = "_alembic_tmp_"


@contextlib.contextmanager
def opened(database: Path) -> Iterator[sqlite3.Connection]:
    """Opens a database, and explains why it cannot be read.

    Args:
        database: The file.

    Yields:
        The connection, closed at the end of the block.

    Raises:
        UserError: If it is no database, is damaged or read-only, or stays locked.
    """
    try:
        with contextlib.closing(sqlite3.connect(database, timeout=_PATIENCE)) as connection:
            yield connection
    except sqlite3.OperationalError as error:
        raise UserError(
            Problem(
                f"cannot open the registry {database}: {error}.",
                _WHERE,
                fix="Where another program holds it, end that; and see that this user may write "
                "to the file and its folder.",
            )
        ) from error
    except sqlite3.DatabaseError as error:
        raise UserError(
            Problem(
                f"cannot open the registry {database}: {error}. It was left as it is.",
                _WHERE,
                fix="Put back a copy of it, or move it away: a new one is then made.",
            )
        ) from error


def tables(connection: sqlite3.Connection) -> list[str]:
    """Names the tables."""
    found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return [name for (name,) in found if not name.startswith("sqlite_")]


def revision(connection: sqlite3.Connection) -> str:
    """Tells which of MLflow's migrations was the last; empty where none is recorded."""
    if "alembic_version" not in tables(connection):
        return ""
    found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(found[0]) if found else ""


def rows_of_users(connection: sqlite3.Connection) -> Mapping[str, int]:
    """Counts the rows of every table that MLflow did not put there itself; empty ones left out."""
    counts = {}
    for table, name in _tables_of_users(connection).items():
        own = _OF_NO_USER.get(table, "FALSE")
        query = f'SELECT count(*) FROM "{name}" WHERE NOT ({own})'
        counts[table] = connection.execute(query).fetchone()[0]
    return {table: count for table, count in counts.items() if count}


def copy_rows(source: sqlite3.Connection, target: Path) -> None:
    """Copies every row of every table; columns that only one side has get their default.

    Args:
        source: What to copy.
        target: A whole database.
    """
    with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as writer:
        writer.execute("PRAGMA foreign_keys = OFF")
        writer.execute("BEGIN")
        filled = set(tables(writer))
        for table, name in _tables_of_users(source).items():
            if table not in filled:
                continue
            names = sorted(set(_columns(source, name)) & set(_columns(writer, table)))
            listed = ", ".join(f'"{name}"' for name in names)
            writer.execute(f'DELETE FROM "{table}"')
            writer.executemany(
                f'INSERT INTO "{table}" ({listed}) VALUES ({", ".join("?" * len(names))})',
                source.execute(f'SELECT {listed} FROM "{name}"'),
            )
        writer.execute("COMMIT")


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    """Names the columns that can be written: not those that are computed."""
    described = connection.execute(f'PRAGMA table_info("{table}")')
    return [row[1] for row in described]


def _tables_of_users(connection: sqlite3.Connection) -> Mapping[str, str]:
    """Finds where the rows of each table are: a killed migration may have left them in a copy."""
    unfinished_first = sorted(tables(connection), key=lambda name: _UNFINISHED not in name)
    found = {name.removeprefix(_UNFINISHED): name for name in unfinished_first}
    return {table: name for table, name in found.items() if table not in _BOOKKEEPING}
