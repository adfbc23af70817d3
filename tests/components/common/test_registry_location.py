from __future__ import annotations

from pathlib import Path

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.registry_location import (
    artifact_location,
    checked_registry_uri,
    credentials_problem,
    database_file,
    default_registry_uri,
    lock_file,
    with_credentials,
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


@pytest.mark.parametrize(
    ("own", "travels"),
    [
        ("https://ann:s3cret@mlflow.example.com", "https://mlflow.example.com"),
        ("postgresql://ann:s3cret@db:5432/mlflow", "postgresql://db:5432/mlflow"),
        ("mysql://db/mlflow?user=ann&password=s3cret", "mysql://db/mlflow?user=ann&password="),
        ("https://mlflow.example.com", "https://mlflow.example.com"),
    ],
)
def test_a_password_stays_in_the_environment(
    own: str, travels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", own)
    assert default_registry_uri() == travels
    assert checked_registry_uri(travels) == travels
    assert with_credentials(travels) == own
    assert with_credentials("https://another.example.com") == "https://another.example.com"


def test_a_password_in_an_input_is_refused_and_not_repeated() -> None:
    problem = credentials_problem("https://ann:s3cret@mlflow.example.com")
    assert problem is not None
    assert "s3cret" not in str(problem)
    assert "MLFLOW_TRACKING_PASSWORD" in problem.fix
    assert problem.allowed == "https://mlflow.example.com"
    assert credentials_problem("https://mlflow.example.com") is None


@pytest.mark.parametrize(
    "uri", ["sqlite://", "sqlite:///:memory:", "sqlite:///a.db?timeout=9", "sqlite:///what?/a.db"]
)
def test_sqlite_without_a_file(uri: str) -> None:
    with pytest.raises(UserError, match="names no file"):
        checked_registry_uri(uri)


def test_sqlite_with_its_driver_is_a_file() -> None:
    assert checked_registry_uri("sqlite+pysqlite:////data/a.db") == "sqlite:////data/a.db"
