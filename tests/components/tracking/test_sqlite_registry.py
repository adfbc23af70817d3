"""Databases that are whole, half made, old, foreign, locked: what MLflow cannot open is mended."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.tracking import connection, sqlite_registry
from kfp_llm_tuning.components.tracking.connection import RegistryLocked, connect
from kfp_llm_tuning.components.tracking.sqlite_registry import is_whole


@pytest.fixture(autouse=True)
def quickly_made(empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies what MLflow would make in seconds."""
    monkeypatch.setattr(
        sqlite_registry, "_make", lambda aside, database: shutil.copy(empty_database, aside)
    )


@pytest.fixture
def database(registry_uri: str) -> Path:
    """A whole one, empty."""
    return Path(registry_uri.removeprefix("sqlite:///"))


def register(database: Path) -> None:
    """Registers a version of the model intents, with a run of its own."""
    client = connect(f"sqlite:///{database}")
    run = client.create_run(connection.experiment_id(client))
    client.log_metric(run.info.run_id, "tuned/exact_match", 0.75)
    client.create_registered_model("intents")
    client.create_model_version(
        "intents", run.info.artifact_uri, run.info.run_id, tags={"team": "support"}
    )


def change(database: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def models_in(database: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM registered_models")]


def beside(database: Path) -> set[str]:
    return {path.name for path in database.parent.iterdir()} - {database.name, "mlartifacts"}


HALVES: dict[str, tuple[str, ...]] = {
    "no bookkeeping yet": ("DROP TABLE alembic_version",),
    "an early revision": (
        "UPDATE alembic_version SET version_num = '451aebb31d03'",
        "DROP TABLE model_versions",
        "DROP TABLE registered_models",
    ),
    "tables missing": ("DROP TABLE registered_model_aliases",),
    "a table being rebuilt": (
        "UPDATE alembic_version SET version_num = '1b5f0d9ad7c1'",
        "CREATE TABLE _alembic_tmp_runs (run_uuid TEXT)",
    ),
    "two migrations at once": ("DELETE FROM alembic_version",),
}


@pytest.mark.parametrize("half", HALVES)
def test_a_half_made_one_is_made_anew(
    database: Path, half: str, caplog: pytest.LogCaptureFixture
) -> None:
    change(database, *HALVES[half])
    assert not is_whole(database)
    connect(f"sqlite:///{database}", create=False)
    assert is_whole(database)
    assert beside(database) == {"mlflow.db.lock"}
    assert "half made, and nothing was registered in it: made anew" in caplog.text


def test_the_first_moment_of_one_is_none(database: Path) -> None:
    database.write_bytes(b"")
    connect(f"sqlite:///{database}")
    assert is_whole(database)


@pytest.mark.parametrize("half", [half for half in HALVES if half != "an early revision"])
def test_a_migration_that_was_killed_loses_nothing(
    database: Path, half: str, caplog: pytest.LogCaptureFixture
) -> None:
    register(database)
    moved = database.with_name("moved.db")  # MLflow keeps open what it opened in this process.
    database.rename(moved)
    change(moved, *HALVES[half])
    client = connect(f"sqlite:///{moved}", create=False)
    (version,) = client.search_model_versions("name = 'intents'")
    assert version.tags["team"] == "support"
    assert client.get_run(version.run_id).data.metrics["tuned/exact_match"] == 0.75
    (kept,) = moved.parent.glob("moved.db.before-*")
    assert models_in(kept) == ["intents"]
    assert kept.name in caplog.text
    assert "1 registered_models" in caplog.text


@pytest.mark.parametrize("filled", [True, False])
def test_one_of_a_newer_mlflow_is_left_alone(database: Path, filled: bool) -> None:
    if filled:
        register(database)
    moved = shutil.copy(database, database.with_name("moved.db"))
    change(moved, "UPDATE alembic_version SET version_num = 'ffffffffffff'")
    before = moved.read_bytes()
    with pytest.raises(UserError, match="newer MLflow .revision ffffffffffff"):
        connect(f"sqlite:///{moved}")
    assert moved.read_bytes() == before


def test_a_half_that_another_program_is_making_is_left_to_it(database: Path) -> None:
    change(database, *HALVES["tables missing"])
    program = "import sys; f = open(sys.argv[1], 'rb'); print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, database], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(UserError, match=f"process {other.pid} .*has it open"):
            connect(f"sqlite:///{database}")
        other.communicate()
    connect(f"sqlite:///{database}")
    assert is_whole(database)


def cut_off(database: Path) -> None:
    content = database.read_bytes()
    database.write_bytes(content[: len(content) // 2])


def overwrite(database: Path) -> None:
    database.write_text("no database" * 100)


@pytest.mark.parametrize("damage", [cut_off, overwrite])
def test_what_is_no_database_is_left_alone(database: Path, damage: Callable[[Path], None]) -> None:
    damage(database)
    before = database.read_bytes()
    with pytest.raises(UserError, match="cannot open the registry.*left as it is"):
        connect(f"sqlite:///{database}")
    assert database.read_bytes() == before


def test_a_journal_of_another_database_is_not_read_into_a_new_one(database: Path) -> None:
    database.unlink()
    for ending in ("-wal", "-shm"):
        database.with_name(database.name + ending).write_bytes(b"of the old one")
    connect(f"sqlite:///{database}")
    assert is_whole(database)


def test_two_that_begin_at_once_make_one(
    database: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.unlink()
    made: list[Path] = []

    def make(aside: Path, _: Path) -> None:
        made.append(aside)
        shutil.copy(empty_database, aside)

    monkeypatch.setattr(sqlite_registry, "_make", make)
    both = [threading.Thread(target=connect, args=(f"sqlite:///{database}",)) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len(made) == 1
    assert is_whole(database)


_KILLED_WHILE_MAKING = """
import os, signal, sys
from kfp_llm_tuning.components.tracking import connection, sqlite_registry
def make(aside, database):
    aside.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
sqlite_registry._make = make
connection.connect(sys.argv[1])
"""


def test_a_making_that_is_killed_leaves_no_database(database: Path) -> None:
    database.unlink()
    uri = f"sqlite:///{database}"
    killed = subprocess.run([sys.executable, "-c", _KILLED_WHILE_MAKING, uri], check=False)
    assert killed.returncode == -9
    assert not database.exists()
    connect(uri)
    assert is_whole(database)
    assert beside(database) == {"mlflow.db.lock"}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Pauses that are noted, and not made."""
    pauses: list[float] = []
    monkeypatch.setattr(connection.time, "sleep", pauses.append)
    yield pauses


@pytest.mark.parametrize("times", [1, 4, 5])
def test_a_locked_one_is_tried_again(impatient: list[float], times: int) -> None:
    from mlflow.exceptions import MlflowException

    refusals = [MlflowException("(sqlite3.OperationalError) database is locked")] * times

    def act() -> str:
        if refusals:
            raise refusals.pop()
        return "done"

    if times == 5:
        with pytest.raises(RegistryLocked, match="another program holds the registry"):
            connection.when_unlocked("sqlite:///a.db", act)
    else:
        assert connection.when_unlocked("sqlite:///a.db", act) == "done"
    assert len(impatient) == min(times, 4)


def test_what_is_not_locked_is_not_tried_again(impatient: list[float]) -> None:
    from mlflow.exceptions import MlflowException

    def act() -> Any:
        raise MlflowException("no such run")

    with pytest.raises(MlflowException, match="no such run"):
        connection.when_unlocked("sqlite:///a.db", act)
    assert not impatient


@pytest.mark.slow
def test_one_of_an_older_mlflow_is_migrated(database: Path, tmp_path: Path) -> None:
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config, create_sqlalchemy_engine
    from mlflow.store.tracking.dbmodels.initial_models import Base

    old = tmp_path / "old.db"
    engine = create_sqlalchemy_engine(f"sqlite:///{old}")
    Base.metadata.create_all(engine)
    configuration = _get_alembic_config(f"sqlite:///{old}")
    with engine.begin() as connected:
        configuration.attributes["connection"] = connected
        command.upgrade(configuration, "97727af70f4d")
    engine.dispose()
    change(old, "INSERT INTO registered_models (name, creation_time) VALUES ('kept', 1)")
    client = connect(f"sqlite:///{old}")
    assert [model.name for model in client.search_registered_models()] == ["kept"]
    (kept,) = tmp_path.glob("old.db.before-97727af70f4d")
    assert models_in(kept) == ["kept"]


@pytest.mark.slow
def test_a_making_killed_at_any_moment_leaves_none_or_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    program = "import sys; from kfp_llm_tuning.components.tracking.connection import connect; "
    ended, seconds = False, 1.0
    while not ended:
        process = subprocess.Popen([sys.executable, "-c", f"{program} connect(sys.argv[1])", uri])
        with contextlib.suppress(subprocess.TimeoutExpired):
            ended = process.wait(seconds) == 0
        process.kill()
        process.wait()
        assert not (tmp_path / "mlflow.db").exists() or is_whole(tmp_path / "mlflow.db")
        seconds += 0.7
    assert is_whole(tmp_path / "mlflow.db")
    assert beside(tmp_path / "mlflow.db") == {"mlflow.db.lock"}
