"""The evaluation that stands on a model in Vertex AI, beside its version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import aiplatform_v1
from google.protobuf import json_format

from kfp_llm_tuning.components.common.vertex import Vertex
from kfp_llm_tuning.components.upload.vertex_evaluations import read_evaluation
from kfp_llm_tuning.components.upload.vertex_platform import upload
from tests.components.upload.vertex_tasks import LOCATION, RUN, upload_task
from tests.vertex.local_vertex import LocalVertex

FIGURES = {
    "primary": {"name": "rougeLsum"},
    "metrics": {
        "rougeLsum": {"base": 0.25, "tuned": 0.5},
        "bleu": {"base": 1.5, "tuned": None},
    },
}


@pytest.fixture
def evaluated(tmp_path: Path) -> Path:
    """The folder of a task whose model was evaluated."""
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "evaluation.json").write_text(json.dumps(FIGURES))
    return tmp_path


def evaluations(server: LocalVertex) -> list[dict[str, Any]]:
    return [
        json_format.MessageToDict(server.store[name])
        for name in server.store
        if "/evaluations/" in name
    ]


def test_an_upload_brings_the_evaluation_once(vertex_server: LocalVertex, evaluated: Path) -> None:
    version = upload(upload_task(vertex_server, evaluated)).model_resource_name
    assert upload(upload_task(vertex_server, evaluated)).model_resource_name == version
    (found,) = evaluations(vertex_server)
    assert found["name"].startswith(f"{version}/evaluations/")
    assert found["metrics"] == {"rougeLSum": 0.5}
    assert found["metricsSchemaUri"].endswith("/general_text_generation_metrics_1.0.0.yaml")
    assert found["metadata"] == {
        "pipeline_job_id": RUN,
        "primary": "rougeLsum",
        "base": {"rougeLsum": 0.25, "bleu": 1.5},
        "tuned": {"rougeLsum": 0.5},
    }
    place = Vertex(vertex_server.project, LOCATION)
    client = place.client(aiplatform_v1.ModelServiceClient)
    figures = {"base/rougeLsum": 0.25, "base/bleu": 1.5, "tuned/rougeLsum": 0.5}
    assert read_evaluation(client, version) == (figures, "rougeLsum")
    labels = client.get_model(name=version).labels
    assert labels["primary-metric"] == "rougelsum"


def test_labels_are_described_by_the_schema_of_classification(
    vertex_server: LocalVertex, evaluated: Path
) -> None:
    figures = {"accuracy": 0.75, "auPrc": 0.5, "auRoc": 0.6, "logLoss": 0.7, "bleu": 9.0}
    metrics = {name: {"base": 0.25, "tuned": value} for name, value in figures.items()}
    (evaluated / "evaluation" / "evaluation.json").write_text(json.dumps({"metrics": metrics}))
    upload(upload_task(vertex_server, evaluated))
    (found,) = evaluations(vertex_server)
    assert found["metricsSchemaUri"].endswith("/classification_metrics_1.0.0.yaml")
    assert found["metrics"] == {"auPrc": 0.5, "auRoc": 0.6, "logLoss": 0.7}
    assert found["metadata"]["tuned"] == figures


@pytest.mark.parametrize(
    ("schema", "metrics"),
    [
        ("general_text_generation_metrics_1.0.0.yaml", {"bleu": 1.0, "exact_match": 0.5}),
        ("general_text_generation_metrics_1.0.0.yaml", [1.0]),
        ("text_metrics_1.0.0.yaml", {"bleu": 1.0}),
    ],
)
def test_the_stand_in_refuses_what_fits_no_schema(
    vertex_server: LocalVertex, evaluated: Path, schema: str, metrics: Any
) -> None:
    version = upload(upload_task(vertex_server, evaluated)).model_resource_name
    place = Vertex(vertex_server.project, LOCATION)
    client = place.client(aiplatform_v1.ModelServiceClient)
    evaluation = aiplatform_v1.ModelEvaluation(
        metrics=metrics,
        metrics_schema_uri=f"gs://google-cloud-aiplatform/schema/modelevaluation/{schema}",
    )
    with pytest.raises(exceptions.InvalidArgument):
        client.import_model_evaluation(parent=version, model_evaluation=evaluation)


def test_an_account_that_may_not_import_registers_all_the_same(
    vertex_server: LocalVertex, evaluated: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vertex_server.faults.inject("ModelService.ImportModelEvaluation", "permission")
    assert upload(upload_task(vertex_server, evaluated)).model_resource_name
    assert "has no evaluation in the Model Registry" in caplog.text
    assert evaluations(vertex_server) == []
