from __future__ import annotations

import logging
from typing import Any

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.upload import local_platform
from kfp_llm_tuning.components.upload.catalogue import list_versions
from kfp_llm_tuning.components.upload.mlflow_registry import Upload


def arguments(upload: Upload) -> dict[str, Any]:
    return {
        "saved_model": str(upload.saved_model),
        "tensorboard_metrics": str(upload.tensorboard_metrics),
        "evaluation": str(upload.evaluation),
        "validation_report": str(upload.reports["validation.html"]),
        "display_name": "intents",
        "model_reference": "text-bison@002",
        "run_id": "run-1",
        "registry_uri": upload.registry_uri,
        "upload_model": True,
        "reason": "",
        "labels": '{"team": "support"}',
    }


def test_open_gate_registers_and_deploys(upload: Upload) -> None:
    name = local_platform.upload(**arguments(upload))
    assert name == "models/intents@1"
    endpoint = local_platform.deploy(name, "intents", upload.registry_uri, deploy_model=True)
    assert endpoint == "models:/intents@deployed"
    (version,) = list_versions(upload.registry_uri)
    assert version.deployed
    assert version.labels["team"] == "support"


def test_closed_gate_leaves_nothing_and_says_why(
    upload: Upload, caplog: pytest.LogCaptureFixture
) -> None:
    closed = {"upload_model": False, "reason": "exact_match 0.1 < 0.5"}
    assert local_platform.upload(**{**arguments(upload), **closed}) == ""
    assert "exact_match 0.1 < 0.5" in caplog.text
    assert local_platform.deploy("", "intents", upload.registry_uri, deploy_model=True) == ""
    assert "no model was registered" in caplog.text
    assert list_versions(upload.registry_uri) == []


def test_registered_but_not_deployed(upload: Upload) -> None:
    name = local_platform.upload(**arguments(upload))
    assert local_platform.deploy(name, "intents", upload.registry_uri, deploy_model=False) == ""
    assert not list_versions(upload.registry_uri)[0].deployed


@pytest.mark.parametrize("labels", ["{", "[]", '{"a": 1}', "5"])
def test_bad_labels(upload: Upload, labels: str) -> None:
    with pytest.raises(UserError, match="labels"):
        local_platform.upload(**{**arguments(upload), "labels": labels})


def test_tensorboard_is_not_claimed_to_be_uploaded(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        uri = local_platform.show_tensorboard("projects/p/tensorboards/1", "tuner-1", "/runs/tb")
    assert uri == "/runs/tb"
    assert "not uploaded to projects/p/tensorboards/1" in caplog.text
    assert "tensorboard --logdir /runs/tb" in caplog.text
