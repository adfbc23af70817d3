from __future__ import annotations

from pathlib import Path

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.tracking.connection import EXPERIMENT, connect, experiment_id


def test_deleted_experiment_is_restored(registry_uri: str) -> None:
    client = connect(registry_uri)
    first = experiment_id(client)
    client.delete_experiment(first)
    assert experiment_id(client) == first
    assert client.get_experiment_by_name(EXPERIMENT).lifecycle_stage == "active"


def test_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.write_text("no database" * 100)
    with pytest.raises(UserError, match="cannot open the registry"):
        connect(f"sqlite:///{path}")


def test_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UserError, match="cannot open the registry"):
        connect("http://127.0.0.1:9")


def test_driver_that_is_not_installed() -> None:
    with pytest.raises(UserError, match="cannot open the registry"):
        connect("postgresql+nodriver://host/database")
