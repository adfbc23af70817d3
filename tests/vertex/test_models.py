"""Tests of the model registry and of endpoints."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from google.api_core import exceptions
from google.cloud import aiplatform, aiplatform_v1
from google.protobuf import field_mask_pb2

from tests.vertex.images import SERVING_IMAGE
from tests.vertex.local_vertex import LocalVertex

_IMAGE = SERVING_IMAGE
_MACHINE = "n1-standard-4"


def _upload(**options: Any) -> aiplatform.Model:
    settings = {
        "display_name": "router",
        "artifact_uri": "gs://bucket/model",
        "serving_container_image_uri": _IMAGE,
        **options,
    }
    return aiplatform.Model.upload(**settings)


def _aliases(model: aiplatform.Model) -> dict[str, list[str]]:
    versions = model.versioning_registry.list_versions()
    return {version.version_id: list(version.version_aliases) for version in versions}


def test_uploads_versions(sdk: LocalVertex) -> None:
    first = _upload(model_id="router")
    second = _upload(
        parent_model=first.resource_name, is_default_version=False, version_aliases=["canary"]
    )
    third = _upload(parent_model="router", version_aliases=["canary"])

    assert first.resource_name == f"{sdk.parent}/models/router"
    assert [model.version_id for model in (first, second, third)] == ["1", "2", "3"]
    assert _aliases(first) == {"1": [], "2": [], "3": ["canary", "default"]}
    assert aiplatform.Model("router").version_id == "3"
    assert aiplatform.Model("router@1").version_id == "1"
    assert aiplatform.Model("router@canary").version_id == "3"
    assert len(aiplatform.Model.list()) == 1
    with pytest.raises(exceptions.NotFound):
        aiplatform.Model("router@nobody")


def test_moves_and_removes_aliases(sdk: LocalVertex) -> None:
    model = _upload(model_id="router")
    _upload(parent_model="router", is_default_version=False)
    registry = model.versioning_registry

    registry.add_version_aliases(["default", "best"], "2")
    assert _aliases(model) == {"1": [], "2": ["default", "best"]}
    assert aiplatform.Model("router").version_id == "2"
    registry.remove_version_aliases(["best"], "2")
    assert _aliases(model)["2"] == ["default"]
    with pytest.raises(exceptions.BadRequest, match="cannot be removed"):
        registry.remove_version_aliases(["default"], "2")


def test_deletes_versions(sdk: LocalVertex) -> None:
    model = _upload(model_id="router")
    _upload(parent_model="router")
    registry = model.versioning_registry

    with pytest.raises(exceptions.BadRequest, match="default version cannot be deleted"):
        registry.delete_version("2")
    registry.delete_version("1")
    _upload(parent_model="router")

    assert list(_aliases(model)) == ["2", "3"]
    model.delete()
    assert [name for name in sdk.store if "/models/" in name] == []


def test_an_id_is_used_once(sdk: LocalVertex) -> None:
    _upload(model_id="router")

    with pytest.raises(exceptions.Conflict):
        _upload(model_id="router")
    with pytest.raises(exceptions.NotFound):
        _upload(parent_model="nothing")


def test_lists_by_label(sdk: LocalVertex) -> None:
    label = "google-vertex-llm-tuning-base-model-id"
    _upload(model_id="tuned", labels={label: "text-bison-002"})
    _upload(model_id="other")

    found = aiplatform.Model.list(filter=f'labels.{label}="text-bison-002"')

    assert [model.name for model in found] == ["tuned"]
    assert len(aiplatform.Model.list(filter=f"labels.{label}:*")) == 1
    assert len(aiplatform.Model.list(filter='display_name="router"')) == 2


def test_updates_a_model_or_a_version(sdk: LocalVertex) -> None:
    first = _upload(model_id="router")
    _upload(parent_model="router")

    with pytest.raises(exceptions.Conflict, match="etag"):  # its copy is older than version 2
        first.update(display_name="renamed")
    aiplatform.Model("router").update(display_name="renamed", labels={"team": "nlp"})
    first.api_client.update_model(
        model=aiplatform_v1.Model(name=f"{first.resource_name}@2", version_description="better"),
        update_mask=field_mask_pb2.FieldMask(paths=["version_description"]),
    )

    assert aiplatform.Model("router@1").display_name == "renamed"
    assert aiplatform.Model("router@2").labels == {"team": "nlp"}
    assert aiplatform.Model("router@2").version_description == "better"
    assert aiplatform.Model("router@1").version_description == ""


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ({"displayName": "m"}, "container_spec"),
        ({"containerSpec": {"imageUri": _IMAGE}}, "display_name"),
        ({"displayName": "m", "containerSpec": {"imageUri": "latest"}}, "image_uri"),
        (
            {"displayName": "m", "containerSpec": {"imageUri": _IMAGE, "predictRoute": "x"}},
            "predict_route",
        ),
        (
            {
                "displayName": "m",
                "containerSpec": {"imageUri": _IMAGE},
                "artifactUri": "/tmp/model",
            },
            "artifact_uri",
        ),
        (
            {
                "displayName": "m",
                "containerSpec": {"imageUri": _IMAGE},
                "versionAliases": ["2"],
            },
            "version_aliases",
        ),
    ],
)
def test_refuses_bad_models(idle_vertex: LocalVertex, model: dict[str, Any], problem: str) -> None:
    url = f"{idle_vertex.rest_url}/v1/{idle_vertex.parent}/models:upload"

    answer = requests.post(url, json={"model": model}, timeout=10)

    assert answer.status_code == 400
    assert problem in answer.json()["error"]["message"]
    assert idle_vertex.resources("models") == []


def test_deploys_predicts_and_undeploys(sdk: LocalVertex) -> None:
    first, second = _upload(model_id="first"), _upload(model_id="second")
    endpoint = aiplatform.Endpoint.create(display_name="router", endpoint_id="router-1")
    endpoint.deploy(first, machine_type=_MACHINE)
    endpoint.deploy(second, machine_type=_MACHINE, traffic_percentage=30)
    sdk.predict_with(
        lambda model, instances, parameters: [
            f"{model['name'].rsplit('/', 1)[-1]}: {instance['prompt']}, {parameters['topK']:.0f}"
            for instance in instances
        ]
    )

    answer = endpoint.predict([{"prompt": "a"}, {"prompt": "b"}], parameters={"topK": 3})

    deployed = endpoint.list_models()
    assert sorted(endpoint.traffic_split.values()) == [30, 70]
    assert answer.model_resource_name in {first.resource_name, second.resource_name}
    assert answer.predictions[1].endswith(": b, 3")
    assert answer.deployed_model_id in {model.id for model in deployed}
    with pytest.raises(exceptions.BadRequest, match="undeploy it first"):
        first.delete()
    with pytest.raises(exceptions.BadRequest, match="undeploy them first"):
        endpoint.delete()
    endpoint.undeploy_all()
    endpoint.delete()
    assert sdk.resources("endpoints") == []


def test_nothing_predicts_without_traffic_or_predictor(sdk: LocalVertex) -> None:
    endpoint = aiplatform.Endpoint.create(display_name="router")
    with pytest.raises(exceptions.BadRequest, match="does not have any traffic"):
        endpoint.predict([{"prompt": "a"}])
    endpoint.deploy(_upload(), machine_type=_MACHINE)

    with pytest.raises(exceptions.ServiceUnavailable, match="predict_with"):
        endpoint.predict([{"prompt": "a"}])
    sdk.predict_with(lambda *_: (_ for _ in ()).throw(ValueError("prompt is empty")))
    with pytest.raises(exceptions.BadRequest, match="prompt is empty"):
        endpoint.predict([{"prompt": ""}])


def test_predicts_from_a_raw_body(idle_vertex: LocalVertex) -> None:
    aiplatform.init(project=idle_vertex.project, location=idle_vertex.location)
    endpoint = aiplatform.Endpoint.create(display_name="router")
    endpoint.deploy(_upload(), machine_type=_MACHINE)
    idle_vertex.predict_with(lambda _, instances, parameters: [instances, parameters])
    headers = {"Content-Type": "application/json"}

    answer = endpoint.raw_predict(b'{"instances": ["a"]}', headers)

    assert answer.json() == {"predictions": [["a"], None]}
    assert endpoint.raw_predict(b"prompt=a", headers).status_code == 400


class Endpoints:
    """An endpoint with a model to deploy, called without the SDK's help."""

    def __init__(self) -> None:
        self.client = aiplatform_v1.EndpointServiceClient(
            client_options={"api_endpoint": "us-central1-aiplatform.googleapis.com"}
        )
        self.model = _upload(model_id="router").resource_name
        self.name = aiplatform.Endpoint.create(display_name="router").resource_name

    def deploy(self, deployed_id: str = "", split: dict[str, int] | None = None) -> Any:
        machine = {"machine_spec": {"machine_type": _MACHINE}, "min_replica_count": 1}
        deployed: dict[str, Any] = {"model": self.model, "dedicated_resources": machine}
        if deployed_id:
            deployed["id"] = deployed_id
        request = {
            "endpoint": self.name,
            "deployed_model": deployed,
            "traffic_split": split or {},
        }
        return self.client.deploy_model(request).result().deployed_model

    def undeploy(self, deployed_id: str, split: dict[str, int] | None = None) -> None:
        self.client.undeploy_model(
            endpoint=self.name, deployed_model_id=deployed_id, traffic_split=split or {}
        ).result()

    @property
    def traffic(self) -> dict[str, int]:
        return dict(self.client.get_endpoint(name=self.name).traffic_split)


@pytest.fixture
def endpoints(idle_vertex: LocalVertex) -> Endpoints:
    aiplatform.init(project=idle_vertex.project, location=idle_vertex.location)
    return Endpoints()


def test_a_deployment_may_bring_its_id(endpoints: Endpoints) -> None:
    deployed = endpoints.deploy("77", {"0": 100})

    assert (deployed.id, deployed.model_version_id) == ("77", "1")
    assert deployed.display_name == "router"
    assert endpoints.traffic == {"77": 100}
    with pytest.raises(exceptions.AlreadyExists):
        endpoints.deploy("77")
    with pytest.raises(exceptions.InvalidArgument):
        endpoints.deploy("my-id")


@pytest.mark.parametrize("split", [{"0": 90}, {"0": 50, "9": 50}, {"0": 150, "1": -50}])
def test_refuses_a_bad_split(endpoints: Endpoints, split: dict[str, int]) -> None:
    endpoints.deploy("1", {"0": 100})

    with pytest.raises(exceptions.InvalidArgument, match="traffic_split"):
        endpoints.deploy("2", split)

    assert endpoints.traffic == {"1": 100}


def test_a_model_with_traffic_stays(endpoints: Endpoints) -> None:
    endpoints.deploy("1", {"0": 100})
    endpoints.deploy("2")

    with pytest.raises(exceptions.FailedPrecondition, match="has traffic"):
        endpoints.undeploy("1")
    endpoints.undeploy("1", {"2": 100})

    assert endpoints.traffic == {"2": 100}
    endpoints.undeploy("2")
    assert endpoints.traffic == {}
    with pytest.raises(exceptions.NotFound):
        endpoints.undeploy("2")


def test_a_deployment_needs_resources(endpoints: Endpoints) -> None:
    deployed = aiplatform_v1.DeployedModel(model=endpoints.model)
    with pytest.raises(exceptions.InvalidArgument, match="dedicated_resources"):
        endpoints.client.deploy_model(endpoint=endpoints.name, deployed_model=deployed)
    deployed.automatic_resources.min_replica_count = 1
    with pytest.raises(exceptions.InvalidArgument, match="only dedicated_resources"):
        endpoints.client.deploy_model(endpoint=endpoints.name, deployed_model=deployed)
