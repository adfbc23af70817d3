"""Deploys a registered model to a Vertex AI endpoint: one endpoint and one deployment a run.

Their ids follow from the run: a second request is refused, and what is there is found.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from google.api_core.operation import Operation
from google.cloud import aiplatform_v1
from google.cloud.aiplatform_v1.types import (
    DedicatedResources,
    DeployedModel,
    EncryptionSpec,
    Endpoint,
    MachineSpec,
    Model,
)

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.vertex import (
    ONCE,
    READ,
    Ensured,
    Vertex,
    ensure,
    or_none,
)
from kfp_llm_tuning.components.common.vertex_errors import explained
from kfp_llm_tuning.components.upload.serving_machines import ServingMachine
from kfp_llm_tuning.components.upload.vertex_names import deployment_id, resource_id

# A DeployModel request calls the model that it deploys by this.
_THIS_MODEL = "0"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Deployment:
    """How a version is deployed.

    Attributes:
        model: The version's resource name, ``projects/../models/ID@VERSION``.
        display_name: Of the deployed model.
        key: The run: the same key is the same deployment.
        machine: What it runs on.
        traffic_percentage: Its share of the endpoint's requests.
        service_account: What it runs as; empty for Vertex AI's own account.
    """

    model: str
    display_name: str
    key: str
    machine: ServingMachine
    traffic_percentage: int = 100
    service_account: str = ""


def create_endpoint(
    vertex: Vertex, display_name: str, key: str, model: Model, encryption_key: str
) -> Ensured[Endpoint]:
    """Makes an endpoint unless the run has made it already.

    Args:
        vertex: Where.
        display_name: Its name.
        key: The run.
        model: The model whose labels it takes.
        encryption_key: Customer-managed key; empty for Google's own.

    Returns:
        The endpoint, and the operation that made it.

    Raises:
        UserError: If Vertex AI refuses.
    """
    client = vertex.client(aiplatform_v1.EndpointServiceClient)
    identifier = resource_id(display_name, key)
    name = f"{vertex.parent}/endpoints/{identifier}"
    endpoint = Endpoint(display_name=display_name, labels=dict(model.labels))
    if encryption_key:
        endpoint.encryption_spec = EncryptionSpec(kms_key_name=encryption_key)
    request = {"parent": vertex.parent, "endpoint": endpoint, "endpoint_id": identifier}
    return ensure(
        lambda: or_none(lambda: client.get_endpoint(name=name, **ONCE)),
        lambda: client.create_endpoint(request=request, **ONCE),
        f"create the endpoint {name}",
    )


def read_endpoint(vertex: Vertex, name: str) -> Endpoint:
    """Reads an endpoint that a user named.

    Args:
        vertex: Where.
        name: Its id or resource name.

    Returns:
        The endpoint.

    Raises:
        UserError: If it is not there, or is in another region.
    """
    full = name if name.startswith("projects/") else f"{vertex.parent}/endpoints/{name}"
    location = aiplatform_v1.EndpointServiceClient.parse_endpoint_path(full).get("location")
    if location != vertex.location:
        raise UserError(
            Problem(
                f"{name} is no endpoint in {vertex.location}, where the model is.",
                "endpoint_resource_name",
                f"projects/PROJECT/locations/{vertex.location}/endpoints/ID",
            )
        )
    client = vertex.client(aiplatform_v1.EndpointServiceClient)
    with explained(f"read the endpoint {full}", "endpoint_resource_name"):
        return client.get_endpoint(name=full, **READ)


def deploy(vertex: Vertex, endpoint: str, deployment: Deployment) -> Ensured[DeployedModel]:
    """Deploys a version to an endpoint unless the run has deployed it already.

    Args:
        vertex: Where.
        endpoint: The endpoint's resource name.
        deployment: What, and how.

    Returns:
        The deployed model, and the operation that made it.

    Raises:
        UserError: If Vertex AI refuses, for lack of quota above all.
    """
    client = vertex.client(aiplatform_v1.EndpointServiceClient)
    deployed = _deployed_model(deployment)

    def find() -> DeployedModel | None:
        there = client.get_endpoint(name=endpoint, **ONCE).deployed_models
        return next((model for model in there if model.id == deployed.id), None)

    def start() -> Operation:
        traffic = client.get_endpoint(name=endpoint, **ONCE).traffic_split
        return client.deploy_model(
            endpoint=endpoint,
            deployed_model=deployed,
            traffic_split=split_traffic(traffic, deployment.traffic_percentage),
            **ONCE,
        )

    machine = deployment.machine
    return ensure(
        find,
        start,
        f"deploy {deployment.model} to {endpoint} on {machine.description} (the model stays "
        "registered)",
    )


def split_traffic(current: Mapping[str, int], percentage: int) -> dict[str, int]:
    """Gives a new model its share of the requests, and the others the rest in proportion.

    Args:
        current: The endpoint's split, by id of the deployed model.
        percentage: The new model's share; all of it where no other model has any.

    Returns:
        The split to ask for; it sums to 100.
    """
    sharing = {name: share for name, share in current.items() if share > 0}
    if not sharing:
        return {_THIS_MODEL: 100}
    rest, total = 100 - percentage, sum(sharing.values())
    split = {name: share * rest // total for name, share in sharing.items()}
    # What rounding left goes to those who lost most by it.
    lost = sorted(sharing, key=lambda name: sharing[name] * rest % total, reverse=True)
    for name in lost[: rest - sum(split.values())]:
        split[name] += 1
    return {_THIS_MODEL: percentage, **split}


def tell_of_idle_models(vertex: Vertex, endpoint: str) -> None:
    """Logs which models of an endpoint cost money and answer nothing.

    Args:
        vertex: Where.
        endpoint: The endpoint's resource name.
    """
    there = read_endpoint(vertex, endpoint)
    for model in there.deployed_models:
        if not there.traffic_split.get(model.id):
            _logger.warning(
                "%s gets no requests any more, and its machine costs money: gcloud ai endpoints "
                "undeploy-model %s --deployed-model-id=%s --region=%s",
                model.display_name or model.model,
                endpoint.rpartition("/")[2],
                model.id,
                vertex.location,
            )


def _deployed_model(deployment: Deployment) -> DeployedModel:
    machine = deployment.machine
    return DeployedModel(
        id=deployment_id(f"{deployment.key} {deployment.model}"),
        model=deployment.model,
        display_name=deployment.display_name,
        service_account=deployment.service_account,
        dedicated_resources=DedicatedResources(
            machine_spec=MachineSpec(
                machine_type=machine.machine_type,
                accelerator_type=machine.accelerator_type or None,
                accelerator_count=machine.accelerator_count,
            ),
            min_replica_count=1,
            max_replica_count=1,
        ),
    )
