from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.upload.tasks import Deployed
from kfp_llm_tuning.components.upload.vertex_platform import deploy, upload
from tests.components.upload.vertex_tasks import PARENT, deploy_task, upload_task
from tests.vertex.local_vertex import LocalVertex


@pytest.fixture
def model(vertex_server: LocalVertex, tmp_path: Path) -> str:
    """A registered version."""
    return upload(upload_task(vertex_server, tmp_path)).model_resource_name


def endpoints(server: LocalVertex) -> list[dict[str, Any]]:
    return server.resources("endpoints")


def test_what_is_deployed(vertex_server: LocalVertex, model: str) -> None:
    account = "server@test-project.iam.gserviceaccount.com"
    deployed = deploy(
        deploy_task(
            vertex_server,
            model,
            service_account=account,
            encryption_key=f"{PARENT}/keyRings/r/cryptoKeys/k",
        )
    )
    (endpoint,) = endpoints(vertex_server)
    assert deployed.endpoint_resource_name == endpoint["name"]
    assert endpoint["displayName"] == "Support intents"
    assert endpoint["labels"]["google-vertex-llm-tuning-base-model-id"] == "text-bison-002"
    assert endpoint["encryptionSpec"] == {"kmsKeyName": f"{PARENT}/keyRings/r/cryptoKeys/k"}
    (there,) = endpoint["deployedModels"]
    assert f"{there['model']}@{there['modelVersionId']}" == model
    assert there["serviceAccount"] == account
    assert there["dedicatedResources"] == {
        "machineSpec": {"machineType": "e2-standard-4"},
        "minReplicaCount": 1,
        "maxReplicaCount": 1,
    }
    assert endpoint["trafficSplit"] == {there["id"]: 100}
    for record in (deployed.create_endpoint_gcp_resources, deployed.deploy_model_gcp_resources):
        assert json.loads(record)["resources"][0]["resourceType"] == "VertexLro"


def test_done_twice_is_done_once(vertex_server: LocalVertex, model: str) -> None:
    task = deploy_task(vertex_server, model)
    first = deploy(task)
    second = deploy(dataclasses.replace(task, regional_endpoint=vertex_server.rest_url))
    assert first.endpoint_resource_name == second.endpoint_resource_name
    (endpoint,) = endpoints(vertex_server)
    assert len(endpoint["deployedModels"]) == 1


def test_without_a_run_a_version_is_deployed_once(vertex_server: LocalVertex, model: str) -> None:
    for _ in range(2):
        deploy(deploy_task(vertex_server, model, run_id=""))
    (endpoint,) = endpoints(vertex_server)
    assert len(endpoint["deployedModels"]) == 1


def test_versions_share_an_endpoint(
    vertex_server: LocalVertex, model: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = deploy(deploy_task(vertex_server, model)).endpoint_resource_name
    for run, share in (("run-2", 30), ("run-3", 100)):
        other = upload(upload_task(vertex_server, tmp_path, run_id=run)).model_resource_name
        task = deploy_task(
            vertex_server, other, run_id=run, endpoint=first, traffic_percentage=share
        )
        for _ in range(2):
            assert deploy(task).endpoint_resource_name == first
        (endpoint,) = endpoints(vertex_server)
        shares = [
            endpoint["trafficSplit"].get(there["id"], 0) for there in endpoint["deployedModels"]
        ]
        assert shares == ([70, 30] if run == "run-2" else [0, 0, 100])
    assert caplog.text.count("gcloud ai endpoints undeploy-model") == 4
    assert len(endpoints(vertex_server)) == 1


def test_endpoint_by_id(vertex_server: LocalVertex, model: str) -> None:
    first = deploy(deploy_task(vertex_server, model)).endpoint_resource_name
    again = deploy_task(vertex_server, model, endpoint=first.rpartition("/")[2])
    assert deploy(again).endpoint_resource_name == first


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"endpoint": "absent"}, "endpoint_resource_name: could not read the endpoint"),
        ({"endpoint": "projects/p/locations/europe-west4/endpoints/1"}, "no endpoint in us-cent"),
        ({"model_resource_name": f"{PARENT}/models/absent@1"}, "could not read the model"),
        ({"traffic_percentage": 101}, "101 is no share"),
        ({"project": "", "location": ""}, "2 problems"),
        ({"project": "no-such-project"}, "no-such-project"),
    ],
)
def test_mistakes(
    vertex_server: LocalVertex, model: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        deploy(dataclasses.replace(deploy_task(vertex_server, model), **changes))
    assert endpoints(vertex_server) == []


def test_nothing_to_deploy(vertex_server: LocalVertex, caplog: pytest.LogCaptureFixture) -> None:
    assert deploy(deploy_task(vertex_server, "")) == Deployed()
    assert "no model was registered" in caplog.text
    assert deploy(deploy_task(vertex_server, "m@1", deploy_model=False)) == Deployed()
    assert "deploy_model is false" in caplog.text
    assert vertex_server.requests == []


def test_machine_of_a_model_that_another_tool_uploaded(
    vertex_server: LocalVertex, model: str
) -> None:
    from google.cloud import aiplatform_v1

    client = aiplatform_v1.ModelServiceClient(
        client_options={"api_endpoint": "us-central1-aiplatform.googleapis.com"}
    )
    plain = aiplatform_v1.Model(name=model, labels={"by": "hand"})
    client.update_model(model=plain, update_mask={"paths": ["labels"]})
    deploy(deploy_task(vertex_server, model, model_reference="qwen3-0.6b"))
    deploy(deploy_task(vertex_server, model, run_id="run-2"))
    small, default = endpoints(vertex_server)
    assert machine(small) == {"machineType": "e2-standard-4"}
    assert machine(default) == {
        "machineType": "g2-standard-12",
        "acceleratorType": "NVIDIA_L4",
        "acceleratorCount": 1,
    }


def machine(endpoint: dict[str, Any]) -> dict[str, Any]:
    (there,) = endpoint["deployedModels"]
    spec: dict[str, Any] = there["dedicatedResources"]["machineSpec"]
    return spec
