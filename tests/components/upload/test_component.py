"""The interfaces, called as KFP calls them: artifacts and plain values in, tuples out."""

from __future__ import annotations

from pathlib import Path

import pytest
from kfp.dsl import HTML, Artifact, Model

from kfp_llm_tuning.components.upload import (
    create_endpoint_and_deploy_model,
    tensorboard_uploader,
    upload_llm_model,
)
from kfp_llm_tuning.components.upload.mlflow_registry import Upload


def artifact(kind: type[Artifact], path: Path) -> Artifact:
    return kind(name="artifact", uri=str(path), metadata={})


def test_names_and_outputs_are_the_published_ones() -> None:
    assert upload_llm_model.name == "upload-llm-model"
    assert set(upload_llm_model.component_spec.outputs) == {
        "model_resource_name",
        "gcp_resources",
        "saved_model_uri",
    }
    assert create_endpoint_and_deploy_model.name == "create-endpoint-and-deploy-model"
    assert set(create_endpoint_and_deploy_model.component_spec.outputs) == {
        "endpoint_resource_name",
        "create_endpoint_gcp_resources",
        "deploy_model_gcp_resources",
    }
    assert tensorboard_uploader.name == "tensorboard-uploader"
    assert set(tensorboard_uploader.component_spec.inputs) == {
        "project",
        "location",
        "tensorboard_id",
        "metrics_directory_uri",
        "experiment_name",
        "registry_uri",
    }
    assert tensorboard_uploader.component_spec.inputs["registry_uri"].optional


def test_register_and_deploy(upload: Upload) -> None:
    registered = upload_llm_model.python_func(
        saved_model=artifact(Model, upload.saved_model),
        tensorboard_metrics=artifact(Artifact, upload.tensorboard_metrics),
        evaluation=artifact(Artifact, upload.evaluation),
        validation_report=artifact(HTML, upload.reports["validation.html"]),
        model_display_name="intents",
        model_reference_name="byte-tiny",
        run_id="run-1",
        registry_uri=upload.registry_uri,
    )
    assert registered == ("models/intents@1", "", str(upload.saved_model))
    deployed = create_endpoint_and_deploy_model.python_func(
        model_resource_name=registered[0],
        display_name="intents",
        registry_uri=upload.registry_uri,
    )
    assert deployed == ("models:/intents@deployed", "", "")


def test_mistake_ends_the_task_with_exit_code_1(upload: Upload) -> None:
    with pytest.raises(SystemExit) as caught:
        create_endpoint_and_deploy_model.python_func(
            model_resource_name="models/intents@1",
            display_name="intents",
            registry_uri="nowhere",
        )
    assert caught.value.code == 1


def test_tensorboard_uploader(tmp_path: Path) -> None:
    outputs = tensorboard_uploader.python_func(
        project="p",
        location="us-central1",
        tensorboard_id="1",
        metrics_directory_uri=artifact(Artifact, tmp_path),
        experiment_name="tuner-1",
        registry_uri="sqlite:///mlflow.db",
    )
    assert outputs == (str(tmp_path),)
