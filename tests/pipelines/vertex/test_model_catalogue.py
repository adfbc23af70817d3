"""Tuned models in the Model Registry of the local Vertex AI."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from google.cloud import aiplatform_v1
from google.cloud.aiplatform_v1.types import (
    DeployedModel,
    Endpoint,
    Model,
    ModelContainerSpec,
    UploadModelRequest,
)

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.vertex import Vertex
from kfp_llm_tuning.components.upload.labels import BASE_MODEL_LABEL
from kfp_llm_tuning.pipelines.vertex.model_catalogue import (
    VertexVersion,
    delete,
    find_versions,
    list_versions,
)
from tests.vertex.faults import Kind
from tests.vertex.images import SERVING_IMAGE
from tests.vertex.local_vertex import LocalVertex

Upload = Callable[..., str]


@pytest.fixture
def upload(vertex_server: LocalVertex, place: Vertex) -> Upload:
    """Uploads a model, or a version of one; gives its resource name."""
    client = place.client(aiplatform_v1.ModelServiceClient)

    def make(name: str, model_id: str, parent: str = "", **labels: str) -> str:
        model = Model(
            display_name=name,
            artifact_uri="gs://bucket/model",
            version_description="described",
            container_spec=ModelContainerSpec(image_uri=SERVING_IMAGE),
            labels={BASE_MODEL_LABEL: "text-bison-002", **labels},
        )
        request = UploadModelRequest(
            parent=place.parent, model=model, model_id=model_id, parent_model=parent
        )
        if parent:
            request.model_id = ""
        done = client.upload_model(request=request).result()
        return f"{done.model}@{done.model_version_id}"

    return make


def names(versions: list[VertexVersion]) -> list[str]:
    return [f"{version.name}@{version.version}" for version in versions]


def deploy(place: Vertex, model: str) -> str:
    client = place.client(aiplatform_v1.EndpointServiceClient)
    made = client.create_endpoint(parent=place.parent, endpoint=Endpoint(display_name="e")).result()
    deployed = DeployedModel(
        model=model,
        dedicated_resources={
            "machine_spec": {"machine_type": "e2-standard-4"},
            "min_replica_count": 1,
        },
    )
    client.deploy_model(
        endpoint=made.name, deployed_model=deployed, traffic_split={"0": 100}
    ).result()
    return str(made.name)


def test_list(upload: Upload, place: Vertex) -> None:
    first = upload("router", "router", team="a")
    upload("router", "router", parent=first.partition("@")[0], team="b")
    upload("alerts", "alerts")
    assert names(list_versions(place)) == ["alerts@1", "router@2", "router@1"]
    (found,) = list_versions(place, {"team": "a"})
    assert found.resource_name == first
    assert (found.base_model, found.location) == ("text-bison-002", "gs://bucket/model")
    assert (found.description, found.deployed) == ("described", False)


def test_other_models_are_not_listed(upload: Upload, place: Vertex) -> None:
    client = place.client(aiplatform_v1.ModelServiceClient)
    other = Model(display_name="other", container_spec=ModelContainerSpec(image_uri=SERVING_IMAGE))
    client.upload_model(parent=place.parent, model=other).result()
    assert list_versions(place) == []


def test_find(upload: Upload, place: Vertex) -> None:
    first = upload("My router", "router")
    second = upload("My router", "router", parent=first.partition("@")[0])
    for address in ("My router", "router", "models/router", first.partition("@")[0]):
        assert [one.resource_name for one in find_versions(place, address)] == [second, first]
    for address in ("My router@1", first, "models/router@1"):
        assert [one.resource_name for one in find_versions(place, address)] == [first]
    assert [one.version for one in find_versions(place, "router@default")] == [1]


def test_what_is_not_there(upload: Upload, place: Vertex) -> None:
    upload("router", "router")
    with pytest.raises(UserError, match="no registered model 'rooter'"):
        find_versions(place, "rooter")
    with pytest.raises(UserError, match="could not read the model router@7"):
        find_versions(place, "router@7")


def test_a_name_of_several_models(upload: Upload, place: Vertex) -> None:
    upload("router", "one")
    upload("router", "two")
    with pytest.raises(UserError, match="2 models are called 'router'.*one"):
        find_versions(place, "router")


@pytest.mark.parametrize("after_commit", [False, True])
@pytest.mark.parametrize("kind", ["unavailable", "reset"])
def test_delete(
    upload: Upload,
    vertex_server: LocalVertex,
    no_backoff: None,
    place: Vertex,
    kind: Kind,
    after_commit: bool,
) -> None:
    first = upload("router", "router")
    upload("router", "router", parent=first.partition("@")[0])
    vertex_server.faults.inject("ModelService.DeleteModelVersion", kind, 1, after_commit)
    delete(place, find_versions(place, "router@2"))
    assert names(list_versions(place)) == ["router@1"]
    vertex_server.faults.inject("ModelService.DeleteModel", kind, 1, after_commit)
    delete(place, find_versions(place, "router"))
    assert list_versions(place) == []


def test_a_deployed_version_is_not_deleted(upload: Upload, place: Vertex) -> None:
    endpoint = deploy(place, upload("router", "router"))
    (found,) = find_versions(place, "router")
    assert (found.deployed, found.endpoints) == (True, (endpoint,))
    with pytest.raises(UserError, match="is deployed to .*undeploy"):
        delete(place, [found])
    assert names(list_versions(place)) == ["router@1"]
