from __future__ import annotations

from pathlib import Path

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.upload.registry_location import (
    artifact_location,
    checked_registry_uri,
    database_file,
    default_registry_uri,
    lock_file,
)


def test_default_is_in_the_output_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    assert default_registry_uri() == f"sqlite:///{tmp_path}/runs/mlflow.db"
    assert default_registry_uri(Path("/data")) == "sqlite:////data/mlflow.db"


def test_variable_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.com")
    assert default_registry_uri(Path("/data")) == "https://mlflow.example.com"


def test_path_of_sqlite_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert checked_registry_uri("sqlite:///a.db") == f"sqlite:///{tmp_path}/a.db"


@pytest.mark.parametrize("uri", ["http://h:5000", "postgresql+psycopg2://u@h/d", "databricks"])
def test_servers_are_left_as_they_are(uri: str) -> None:
    assert checked_registry_uri(uri) == uri
    assert artifact_location(uri) is None
    assert database_file(uri) is None
    assert lock_file(uri) == lock_file(uri) != lock_file(uri + "x")


@pytest.mark.parametrize("uri", ["", "runs", "./mlruns", "/data/mlruns", "file:///data", "ftp://h"])
def test_no_registry(uri: str) -> None:
    with pytest.raises(UserError, match="registry_uri"):
        checked_registry_uri(uri)


def test_files_lie_beside_the_database() -> None:
    assert artifact_location("sqlite:////data/mlflow.db") == "file:///data/mlartifacts"
    assert lock_file("sqlite:////data/mlflow.db") == Path("/data/mlflow.db.lock")
