"""A registry that is moved keeps its models."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from kfp_llm_tuning.components.tracking.connection import EXPERIMENT
from kfp_llm_tuning.components.tracking.registry_moves import take_along


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """The tables of MLflow that name files, with one run and version, and the folder of files."""
    folder = tmp_path / "old runs"
    (folder / "mlartifacts").mkdir(parents=True)
    here = (folder / "mlartifacts").as_uri()
    with closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        database.executescript(
            f"""
            CREATE TABLE experiments (name TEXT, artifact_location TEXT);
            CREATE TABLE runs (artifact_uri TEXT);
            CREATE TABLE logged_models (artifact_location TEXT);
            CREATE TABLE model_versions (source TEXT, storage_location TEXT);
            INSERT INTO experiments VALUES ('Default', '{here}-not/0'), ('{EXPERIMENT}', '{here}');
            INSERT INTO runs VALUES ('{here}/1/artifacts'), ('s3://bucket/1');
            INSERT INTO logged_models VALUES ('{here}/models/m-1/artifacts');
            INSERT INTO model_versions VALUES ('{here}/1/artifacts/model', NULL);
            """
        )
    return folder


def take(folder: Path) -> list[str]:
    location = (folder / "mlartifacts").as_uri()
    take_along(folder / "mlflow.db", EXPERIMENT)
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        rows = [
            *database.execute("SELECT artifact_location FROM experiments"),
            *database.execute("SELECT artifact_uri FROM runs"),
            *database.execute("SELECT source FROM model_versions"),
            *database.execute("SELECT artifact_location FROM logged_models"),
        ]
    return [row[0].replace(location, "HERE") for row in rows]


def test_paths_are_those_of_the_new_folder(
    registry: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = take(registry)
    model = "HERE/1/artifacts/model"
    assert before[1:4] == ["HERE", "HERE/1/artifacts", "s3://bucket/1"]
    assert before[4:] == [model, "HERE/models/m-1/artifacts"]
    assert not caplog.messages
    moved = registry.rename(registry.with_name("new"))
    assert take(moved)[1:] == before[1:]
    assert "moved from" in caplog.text
    caplog.clear()
    assert take(moved)[1:] == before[1:]
    assert not caplog.messages


def test_a_copy_names_its_own_files(registry: Path) -> None:
    copy = registry.with_name("copy")
    shutil.copytree(registry, copy)
    assert take(copy)[1] == "HERE"
    assert take(registry)[1] == "HERE"


def test_a_link_to_the_folder_is_no_move(registry: Path) -> None:
    link = registry.with_name("link")
    link.symlink_to(registry, target_is_directory=True)
    assert take(link)[1] == (registry / "mlartifacts").as_uri()


def test_a_registry_without_its_files_is_left_as_it_is(registry: Path) -> None:
    moved = registry.with_name("alone")
    moved.mkdir()
    (registry / "mlflow.db").rename(moved / "mlflow.db")
    assert take(moved)[1] == (registry / "mlartifacts").as_uri()


def test_a_registry_without_runs_is_left_as_it_is(registry: Path) -> None:
    with closing(sqlite3.connect(registry / "mlflow.db")) as database, database:
        database.execute("DELETE FROM experiments")
    assert take(registry)[0] == "HERE/1/artifacts"
