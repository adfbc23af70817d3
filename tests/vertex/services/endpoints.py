"""EndpointService: endpoints, deployments and how the traffic is split between them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from google.cloud import aiplatform_v1
from google.protobuf.message import Message

from tests.vertex import errors
from tests.vertex.backend import Call, check_id, handles, require
from tests.vertex.machines import check_machine
from tests.vertex.services import checks, deployments, generic, models

Endpoint = aiplatform_v1.Endpoint.pb()

_ID_PATTERN = r"[a-z0-9][a-z0-9-]{0,62}"
_DEPLOYED_ID_PATTERN = r"[0-9]{1,10}"
_NEW_MODEL = "0"  # in a traffic split: the model that is being deployed
_REGION = 3  # of projects/P/locations/REGION/...


@handles("EndpointService.CreateEndpoint")
def create_endpoint(call: Call, request: Any) -> Message:
    """Store a new endpoint."""
    require(request, "endpoint.display_name")
    if request.endpoint.deployed_models or request.endpoint.traffic_split:
        raise errors.invalid("An endpoint is created without deployed_models and traffic_split.")
    request.endpoint_id = request.endpoint_id or generic.new_number()
    check_id("endpoint_id", request.endpoint_id, _ID_PATTERN)
    if request.endpoint.dedicated_endpoint_enabled:
        _, project, _, region = request.parent.split("/")
        host = f"{request.endpoint_id}.{region}-{project}.prediction.vertexai.goog"
        request.endpoint.dedicated_endpoint_dns = host
    return generic.create(call, request)


@handles("EndpointService.UpdateEndpoint")
def update_endpoint(call: Call, request: Any) -> Message:
    """Change an endpoint; the traffic only between the models that are deployed."""
    if "deployed_models" in request.update_mask.paths:
        raise errors.invalid("deployed_models cannot be updated: deploy or undeploy.")
    if "traffic_split" in request.update_mask.paths:
        current = call.store.fetch(request.endpoint.name, Endpoint)
        _check_split(request.endpoint.traffic_split, current)
    return generic.update(call, request)


@handles("EndpointService.DeleteEndpoint")
def delete_endpoint(call: Call, request: Any) -> Message:
    """Delete an endpoint that has no deployed models."""
    endpoint = call.store.fetch(request.name, Endpoint)
    if endpoint.deployed_models or call.backend.containers.of_endpoint(endpoint.name):
        raise errors.failed_precondition(
            f"Endpoint {request.name} has deployed or being-deployed models: undeploy them first."
        )
    return generic.delete(call, request)


@handles("EndpointService.DeployModel")
def deploy_model(call: Call, request: Any) -> Message:
    """Deploy a version of a model."""
    checks.check_project(call, request.endpoint)
    endpoint = call.store.fetch(request.endpoint, Endpoint)
    require(request, "deployed_model.model")
    deployed = request.deployed_model
    _check_resources(deployed)
    model = models.find_version(call, deployed.model)
    if model.name.split("/")[_REGION] != endpoint.name.split("/")[_REGION]:
        raise errors.invalid(f"The model {model.name} is in another region than {endpoint.name}.")
    _set_deployed_id(call, deployed, endpoint)
    split = {
        (deployed.id if key == _NEW_MODEL else key): share
        for key, share in request.traffic_split.items()
    }
    deployed.model, deployed.model_version_id = model.name, model.version_id
    deployed.display_name = deployed.display_name or model.display_name
    deployed.create_time.CopyFrom(call.backend.clock.timestamp())
    response = aiplatform_v1.DeployModelResponse.pb()(deployed_model=deployed)
    _with_deployed(endpoint, deployed, split)

    def commit() -> None:
        current = call.store.fetch(endpoint.name, Endpoint)
        generic.save(call, _with_deployed(current, deployed, split))

    work = deployments.start(call.backend, endpoint.name, deployed, model, commit)
    return call.operation(endpoint.name, response, work=work)


def _with_deployed(endpoint: Any, deployed: Any, split: Mapping[str, int]) -> Any:
    """Add a deployed model to an endpoint; refuse a traffic split that it does not allow."""
    endpoint.deployed_models.add().CopyFrom(deployed)
    _set_split(endpoint, split)
    return endpoint


@handles("EndpointService.UndeployModel")
def undeploy_model(call: Call, request: Any) -> Message:
    """Take back a deployment that has no traffic, or whose traffic others get."""
    endpoint = call.store.fetch(request.endpoint, Endpoint)
    remaining = [item for item in endpoint.deployed_models if item.id != request.deployed_model_id]
    if len(remaining) == len(endpoint.deployed_models):
        raise errors.not_found(f"{request.endpoint}/deployedModels/{request.deployed_model_id}")
    split = dict(request.traffic_split) or dict(endpoint.traffic_split)
    if not remaining:
        split = {}
    if split.get(request.deployed_model_id):
        raise errors.failed_precondition(
            f"The deployed model {request.deployed_model_id} has traffic: give it to others."
        )
    split.pop(request.deployed_model_id, None)
    endpoint.ClearField("deployed_models")
    endpoint.deployed_models.extend(remaining)
    endpoint.ClearField("traffic_split")
    _set_split(endpoint, split)
    generic.save(call, endpoint)
    call.backend.containers.stop((endpoint.name, request.deployed_model_id))
    return call.operation(endpoint.name, aiplatform_v1.UndeployModelResponse.pb()())


@handles("EndpointService.MutateDeployedModel")
def mutate_deployed_model(call: Call, request: Any) -> Message:
    """Change the resources of a deployment."""
    endpoint = call.store.fetch(request.endpoint, Endpoint)
    for deployed in endpoint.deployed_models:
        if deployed.id == request.deployed_model.id:
            generic.merge(deployed, request.deployed_model, request.update_mask)
            generic.save(call, endpoint)
            response = aiplatform_v1.MutateDeployedModelResponse.pb()(deployed_model=deployed)
            return call.operation(endpoint.name, response)
    raise errors.not_found(f"{request.endpoint}/deployedModels/{request.deployed_model.id}")


def _set_deployed_id(call: Call, deployed: Any, endpoint: Any) -> None:
    if deployed.id:
        check_id("deployed_model.id", deployed.id, _DEPLOYED_ID_PATTERN)
    else:
        deployed.id = str(random.randrange(10**9, 10**10))
    if deployed.id == _NEW_MODEL:
        raise errors.invalid("deployed_model.id 0 is reserved.")
    taken = {item.id for item in endpoint.deployed_models}
    if deployed.id in taken | call.backend.containers.of_endpoint(endpoint.name):
        raise errors.already_exists(f"{endpoint.name}/deployedModels/{deployed.id}")


def _set_split(endpoint: Any, split: Mapping[str, int]) -> None:
    """Write a new split; an empty one leaves the traffic as it is."""
    if split:
        _check_split(split, endpoint)
        endpoint.ClearField("traffic_split")
        endpoint.traffic_split.update(split)


def _check_split(split: Mapping[str, int], endpoint: Any) -> None:
    if not split:
        return
    known = {item.id for item in endpoint.deployed_models}
    for key, share in split.items():
        if key not in known:
            raise errors.invalid(f"traffic_split names {key!r}, which is no deployed model.")
        if not 0 <= share <= 100:
            raise errors.invalid(f"traffic_split of {key} must be between 0 and 100, not {share}.")
    if sum(split.values()) != 100:
        raise errors.invalid(
            f"The traffic_split percentages must add up to 100, not {sum(split.values())}."
        )


def _check_resources(deployed: Any) -> None:
    kind = deployed.WhichOneof("prediction_resources")
    if kind is None:
        raise errors.invalid(
            "deployed_model needs dedicated_resources, automatic_resources or shared_resources."
        )
    if kind != "dedicated_resources":
        raise errors.invalid(
            "Models with a container of their own support only dedicated_resources."
        )
    resources = deployed.dedicated_resources
    if not resources.machine_spec.machine_type:
        raise errors.invalid(
            "Required field deployed_model.dedicated_resources.machine_spec.machine_type is not "
            "set."
        )
    if resources.min_replica_count < 1:
        raise errors.invalid("dedicated_resources.min_replica_count must be at least 1.")
    if 0 < resources.max_replica_count < resources.min_replica_count:
        raise errors.invalid("dedicated_resources.max_replica_count is below min_replica_count.")
    check_machine("deployed_model.dedicated_resources.machine_spec", resources.machine_spec)
