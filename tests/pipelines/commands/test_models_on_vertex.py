"""``models list|show|delete`` on Vertex AI: the words and columns are those of MLflow's."""

from __future__ import annotations

import json

import pytest
from google.cloud import aiplatform_v1
from google.cloud.aiplatform_v1.types import Model, ModelContainerSpec

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.vertex import Vertex
from kfp_llm_tuning.components.upload.labels import BASE_MODEL_LABEL
from kfp_llm_tuning.components.upload.vertex_evaluations import import_evaluation
from tests.pipelines.conftest import Call
from tests.vertex.images import SERVING_IMAGE
from tests.vertex.local_vertex import LocalVertex

PLACE = ["--project", "test-project", "--region", "us-central1"]
NAME = "projects/test-project/locations/us-central1/models/router@1"


@pytest.fixture
def model(vertex_server: LocalVertex, place: Vertex) -> None:
    client = place.client(aiplatform_v1.ModelServiceClient)
    made = Model(
        display_name="My router",
        artifact_uri="gs://bucket/model",
        container_spec=ModelContainerSpec(image_uri=SERVING_IMAGE),
        labels={BASE_MODEL_LABEL: "text-bison-002", "team": "a"},
    )
    client.upload_model(
        request={"parent": place.parent, "model": made, "model_id": "router"}
    ).result()


def test_list(call: Call, model: None) -> None:
    lines = call("models", "list", *PLACE).stdout.splitlines()
    assert lines[0].split() == ["MODEL", "BASE", "MODEL", "DEPLOYED", "METRIC", "REGISTERED"]
    assert lines[1].startswith("My router@1  text-bison-002")
    (found,) = json.loads(call("models", "list", *PLACE, "--label", "team=a", "--json").stdout)
    assert found["model_resource_name"] == NAME
    nothing = call("models", "list", *PLACE, "--label", "team=b").stdout
    assert nothing == "No models with these labels.\n"


def test_the_place_of_the_environment_does_not_choose_the_registry(
    call: Call, model: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    nowhere = f"sqlite:///{tmp_path_factory.mktemp('none')}/mlflow.db"
    with pytest.raises(UserError, match="no registry at"):
        call("models", "list", "--registry-uri", nowhere)
    words = ["--platform", "vertex", "--region", "us-central1"]
    assert "My router@1" in call("models", "list", *words).stdout


def test_show(call: Call, model: None) -> None:
    for words in (["My router", *PLACE], ["router@1", *PLACE], [NAME]):
        printed = call("models", "show", *words).stdout
        assert printed.startswith(f"{NAME}\n")
        assert "weights     gs://bucket/model" in printed
        assert "team" in printed
        assert "Metrics" not in printed


def test_the_evaluation_of_a_version(call: Call, model: None, place: Vertex) -> None:
    sides = {"base": {"accuracy": 0.25, "loss": 3.0}, "tuned": {"accuracy": 0.75, "loss": 1.0}}
    import_evaluation(place, NAME, "run-1", sides, "accuracy")
    assert "accuracy 0.75 (base 0.25)" in call("models", "list", *PLACE).stdout
    lines = call("models", "show", NAME).stdout.splitlines()
    assert "primary     accuracy 0.75 (base 0.25)" in lines
    table = lines[lines.index(next(line for line in lines if line.startswith("Metrics"))) :]
    assert [line.split() for line in table[1:3]] == [
        ["accuracy", "0.25", "0.75"],
        ["loss", "3", "1"],
    ]


def test_delete(call: Call, model: None) -> None:
    assert call("models", "delete", NAME, answer="n\n").exit_code == 1
    assert "Deleted 1 version." in call("models", "delete", NAME, "--yes").stdout
    assert call("models", "list", *PLACE).stdout == "No models.\n"
