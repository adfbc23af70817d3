"""The deployed version of a model, wherever it is registered."""

from __future__ import annotations

from pathlib import Path

from google.cloud import aiplatform_v1
from google.cloud.aiplatform_v1.types import (
    DeployedModel,
    Endpoint,
    Model,
    ModelContainerSpec,
    UploadModelRequest,
)

from kfp_llm_tuning.components.common.vertex import Vertex
from kfp_llm_tuning.components.upload.labels import BASE_MODEL_LABEL
from kfp_llm_tuning.components.upload.mlflow_registry import deploy, register
from kfp_llm_tuning.pipelines.registries.registry import deployed_version
from tests.components.conftest import empty_database, registry_uri  # noqa: F401
from tests.components.upload.conftest import upload  # noqa: F401
from tests.vertex.images import SERVING_IMAGE
from tests.vertex.local_vertex import LocalVertex


def test_a_registry_that_is_not_there_yet_has_none(tmp_path: Path) -> None:
    assert deployed_version(f"sqlite:///{tmp_path}/new/mlflow.db", "bot") is None


def test_the_deployed_version_in_mlflow(upload, registry_uri: str) -> None:  # noqa: F811
    name = register(upload)
    assert deployed_version(registry_uri, upload.display_name) is None
    deploy(name, registry_uri)
    found = deployed_version(registry_uri, upload.display_name)
    assert found is not None
    assert found.resource_name == name
    assert deployed_version(registry_uri, "another") is None


def test_the_deployed_version_on_vertex_ai(vertex_server: LocalVertex, place: Vertex) -> None:
    def find(name: str) -> str:
        version = deployed_version("", name, place.project, place.location, place.endpoint)
        return version.location if version else ""

    models = place.client(aiplatform_v1.ModelServiceClient)
    model = Model(
        display_name="bot",
        artifact_uri="gs://bucket/model",
        container_spec=ModelContainerSpec(image_uri=SERVING_IMAGE),
        labels={BASE_MODEL_LABEL: "byte-tiny"},
    )
    request = UploadModelRequest(parent=place.parent, model=model, model_id="bot-1")
    made = models.upload_model(request=request).result()
    assert find("bot") == ""
    endpoints = place.client(aiplatform_v1.EndpointServiceClient)
    endpoint = endpoints.create_endpoint(parent=place.parent, endpoint=Endpoint(display_name="e"))
    machine = {"machine_spec": {"machine_type": "e2-standard-4"}, "min_replica_count": 1}
    deployed = DeployedModel(model=made.model, dedicated_resources=machine)
    endpoints.deploy_model(
        endpoint=endpoint.result().name, deployed_model=deployed, traffic_split={"0": 100}
    ).result()
    assert find("bot") == "gs://bucket/model"
    assert find("another") == ""
