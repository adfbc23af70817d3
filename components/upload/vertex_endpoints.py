"""Deploys a registered model to a Vertex AI endpoint: one endpoint and one deployment a run.

Their ids follow from the run: a second request is refused, and what is there is found.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from google.api_core import exceptions
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
    EnsuredResource,
    Vertex,
    ensure,
    found_or_none,
)
from kfp_llm_tuning.components.common.vertex_errors import explained
from kfp_llm_tuning.components.upload.serving_machines import ServingMachine
from kfp_llm_tuning.components.upload.traffic import split_traffic, split_without
from kfp_llm_tuning.components.upload.vertex_names import deployment_id, resource_id

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
) -> EnsuredResource[Endpoint]:
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
        lambda: found_or_none(lambda: client.get_endpoint(name=name, **ONCE)),
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


def deploy(vertex: Vertex, endpoint: str, deployment: Deployment) -> EnsuredResource[DeployedModel]:
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


def undeploy(vertex: Vertex, endpoint: str, deployed: str, before: Mapping[str, int]) -> None:
    """Takes a deployment back, and gives its share of the requests to the models that had it.

    Args:
        vertex: Where.
        endpoint: The endpoint's resource name.
        deployed: Id of the deployed model.
        before: The endpoint's split before the model was deployed, as far as it is known.

    Raises:
        UserError: If Vertex AI refuses: the model then stays deployed.
    """
    client = vertex.client(aiplatform_v1.EndpointServiceClient)

    def read() -> Endpoint:
        return client.get_endpoint(name=endpoint, **ONCE)

    def gone() -> Endpoint | None:
        there = read()
        return None if deployed in {model.id for model in there.deployed_models} else there

    def start() -> Operation:
        there = read()
        others = [m.id for m in sorted(there.deployed_models, key=_created) if m.id != deployed]
        try:
            return client.undeploy_model(
                endpoint=endpoint,
                deployed_model_id=deployed,
                traffic_split=split_without(deployed, there.traffic_split, before, others),
                **ONCE,
            )
        except exceptions.NotFound:
            # A request whose answer was lost has undeployed it at this moment.
            message = f"{deployed} was undeployed"
            raise exceptions.Aborted(message) from None  # type: ignore[no-untyped-call]

    command = _undeploy_command(vertex, endpoint, deployed)
    ensure(gone, start, f"undeploy it again (its machine costs money: {command})")


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
                "%s gets no requests any more, and its machine costs money: %s",
                model.display_name or model.model,
                _undeploy_command(vertex, endpoint, model.id),
            )


def _undeploy_command(vertex: Vertex, endpoint: str, deployed: str) -> str:
    identifier = endpoint.rpartition("/")[2]
    return (
        f"gcloud ai endpoints undeploy-model {identifier} --deployed-model-id={deployed} "
        f"--project={vertex.project} --region={vertex.location}"
    )


def _created(model: DeployedModel) -> int:
    created: int = DeployedModel.pb(model).create_time.ToNanoseconds()
    return created


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
