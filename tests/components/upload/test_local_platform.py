from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.upload import local_platform
from kfp_llm_tuning.components.upload.catalogue import list_versions
from kfp_llm_tuning.components.upload.mlflow_registry import Upload
from kfp_llm_tuning.components.upload.tasks import (
    CurvesTask,
    Deployed,
    DeployTask,
    Uploaded,
    UploadTask,
)


@pytest.fixture
def task(upload: Upload) -> UploadTask:
    return UploadTask(
        saved_model=upload.saved_model,
        saved_model_uri=str(upload.saved_model),
        tensorboard_metrics=upload.tensorboard_metrics,
        evaluation=upload.evaluation,
        validation_report=upload.reports["validation.html"],
        display_name="intents",
        model_reference="text-bison@002",
        run_id="run-1",
        registry_uri=upload.registry_uri,
        labels='{"team": "support"}',
    )


def test_open_gate_registers_and_deploys(task: UploadTask) -> None:
    uploaded = local_platform.upload(task)
    assert uploaded == Uploaded("models/intents@1")
    deployed = local_platform.deploy(
        DeployTask(uploaded.model_resource_name, "intents", task.registry_uri)
    )
    assert deployed == Deployed("models:/intents@deployed")
    (version,) = list_versions(task.registry_uri)
    assert version.deployed
    assert version.labels["team"] == "support"


def test_closed_gate_leaves_nothing_and_says_why(
    task: UploadTask, caplog: pytest.LogCaptureFixture
) -> None:
    closed = dataclasses.replace(task, upload_model=False, reason="exact_match 0.1 < 0.5")
    assert local_platform.upload(closed) == Uploaded()
    assert "exact_match 0.1 < 0.5" in caplog.text
    assert local_platform.deploy(DeployTask("", "intents", task.registry_uri)) == Deployed()
    assert "no model was registered" in caplog.text
    assert list_versions(task.registry_uri) == []


def test_registered_but_not_deployed(task: UploadTask) -> None:
    name = local_platform.upload(task).model_resource_name
    kept = DeployTask(name, "intents", task.registry_uri, deploy_model=False)
    assert local_platform.deploy(kept) == Deployed()
    assert not list_versions(task.registry_uri)[0].deployed


@pytest.mark.parametrize("labels", ["{", "[]", '{"a": 1}', "5"])
def test_bad_labels(task: UploadTask, labels: str) -> None:
    with pytest.raises(UserError, match="labels"):
        local_platform.upload(dataclasses.replace(task, labels=labels))


def test_tensorboard_is_not_claimed_to_be_uploaded(caplog: pytest.LogCaptureFixture) -> None:
    task = CurvesTask("p", "us-central1", "board-1", Path("/runs/tb"), "tuner-1", "sqlite:///x")
    with caplog.at_level(logging.INFO):
        assert local_platform.show_curves(task) == "/runs/tb"
    assert "not uploaded to the TensorBoard board-1" in caplog.text
    assert "tensorboard --logdir /runs/tb" in caplog.text
