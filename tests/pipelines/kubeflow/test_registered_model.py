"""The model that a run registered, asked of the registry."""

from __future__ import annotations

from pathlib import Path

import pytest

from kfp_llm_tuning.components.tracking.connection import connect
from kfp_llm_tuning.components.upload.labels import RUN_LABEL
from kfp_llm_tuning.pipelines.kubeflow.registered_model import RegisteredModel, registered_model

RUN = "d67c800a-5e53-4336-b75e-9c888d897294"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> str:
    uri = f"sqlite:///{tmp_path_factory.mktemp('registry')}/mlflow.db"
    client = connect(uri)
    client.create_registered_model("my router")
    for run in ("other", RUN):
        client.create_model_version("my router", "file:///x", tags={RUN_LABEL: run})
    client.set_registered_model_alias("my router", "deployed", "2")
    return uri


def test_the_run_s_version(registry: str) -> None:
    found = registered_model(registry, RUN)
    assert found == RegisteredModel("models/my router@2", "models:/my router@deployed")
    assert registered_model(registry, "other") == RegisteredModel("models/my router@1")


def test_nothing_was_registered(registry: str) -> None:
    assert registered_model(registry, "none") == RegisteredModel()


def test_what_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "does not say where its model is" in registered_model("", RUN).note
    assert "no registry at" in registered_model(f"sqlite:///{tmp_path}/none.db", RUN).note
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    assert "mlflow is not installed" in registered_model("http://127.0.0.1:1", RUN).note
