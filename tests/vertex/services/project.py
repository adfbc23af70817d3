"""The APIs about projects that clients ask beside Vertex AI: what `ProjectFacts` says, as JSON."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

import grpc

from tests.vertex import errors, images, machines
from tests.vertex.backend import Backend, LoggedRequest

Answer = dict[str, Any]
_Route = tuple[str, str, str, str, Callable[..., Answer]]


def serve(
    backend: Backend, verb: str, host: str, path: str, query: dict[str, str], body: bytes
) -> Answer:
    """Answer a call to an API other than Vertex AI.

    Args:
        backend: The state.
        verb: The HTTP verb.
        host: The host that the client meant, such as compute.googleapis.com.
        path: The path, without the query.
        query: The query's parameters.
        body: The HTTP body.

    Returns:
        The JSON of the answer.

    Raises:
        ApiError: the answer is an error.
    """
    method, handler, groups = _find_route(verb, host, path)
    content = json.loads(body) if body.strip() else {}
    backend.requests.append(LoggedRequest(method, content=content))
    return backend.hit_by_faults(
        method, lambda: handler(backend, *groups, query=query, body=content)
    )


def _find_route(
    verb: str, host: str, path: str
) -> tuple[str, Callable[..., Answer], tuple[str, ...]]:
    for method, route_host, route_verb, pattern, handler in _ROUTES:
        found = re.fullmatch(pattern, path)
        if found and (host, verb) == (route_host, route_verb):
            return method, handler, found.groups()
    raise errors.unimplemented(f"The local Vertex AI does not know {verb} {host}{path}.")


def _project(backend: Backend, id_or_number: str) -> tuple[str, str]:
    found = backend.project_facts.find(id_or_number)
    if found is None:
        raise errors.permission_denied(
            f"Permission denied on resource project {id_or_number} (or it may not exist)."
        )
    return found


def _get_project(backend: Backend, project: str, **_: Any) -> Answer:
    project_id, number = _project(backend, project)
    return {"name": f"projects/{number}", "projectId": project_id, "state": "ACTIVE"}


def _get_project_v1(backend: Backend, project: str, **_: Any) -> Answer:
    project_id, number = _project(backend, project)
    return {"projectNumber": number, "projectId": project_id, "lifecycleState": "ACTIVE"}


def _test_permissions(backend: Backend, project: str, body: Answer, **_: Any) -> Answer:
    _project(backend, project)
    missing = backend.project_facts.missing_permissions
    granted = [name for name in body.get("permissions", []) if name not in missing]
    return {"permissions": granted} if granted else {}


def _get_service(backend: Backend, project: str, service: str, **_: Any) -> Answer:
    number = _project(backend, project)[1]
    state = "DISABLED" if service in backend.project_facts.disabled_apis else "ENABLED"
    return {"name": f"projects/{number}/services/{service}", "state": state}


def _list_quotas(backend: Backend, project: str, service: str, **_: Any) -> Answer:
    """The consumer quota metrics: what the facts say of some, of the others the default."""
    number = _project(backend, project)[1]
    facts = backend.project_facts
    limits = {metric: {} for metric in machines.quota_metrics()} | facts.quotas
    parent = f"projects/{number}/services/{service}/consumerQuotaMetrics"
    metrics = [
        {
            "name": f"{parent}/{metric.replace('/', '%2F')}",
            "metric": metric,
            "consumerQuotaLimits": [
                {
                    "unit": "1/{project}/{region}",
                    "quotaBuckets": [
                        {"effectiveLimit": str(facts.default_quota)},
                        *(
                            {"effectiveLimit": str(limit), "dimensions": {"region": region}}
                            for region, limit in regions.items()
                        ),
                    ],
                }
            ],
        }
        for metric, regions in limits.items()
        if metric.startswith(f"{service}/") and metric not in facts.hidden_quotas
    ]
    return {"metrics": metrics}


def _get_quota_info(
    backend: Backend, project: str, service: str, quota_id: str, **_: Any
) -> Answer:
    number = _project(backend, project)[1]
    facts = backend.project_facts
    limits = facts.quotas.get(f"{service}/{quota_id}", {})
    return {
        "name": f"projects/{number}/locations/global/services/{service}/quotaInfos/{quota_id}",
        "quotaId": quota_id,
        "service": service,
        "dimensionsInfos": [
            {"dimensions": {"region": region}, "details": {"value": str(limit)}}
            for region, limit in limits.items()
        ]
        or [{"details": {"value": str(facts.default_quota)}}],
    }


def _get_service_account(backend: Backend, project: str, email: str, **_: Any) -> Answer:
    known = backend.project_facts.service_accounts
    if known is not None and email not in known:
        raise errors.ApiError(grpc.StatusCode.NOT_FOUND, f"Unknown service account {email}.")
    return {"name": f"projects/{project}/serviceAccounts/{email}", "email": email}


def _test_account_permissions(
    backend: Backend, project: str, email: str, body: Answer, **_: Any
) -> Answer:
    _get_service_account(backend, project, email)
    missing = backend.project_facts.missing_permissions
    granted = [name for name in body.get("permissions", []) if name not in missing]
    return {"permissions": granted} if granted else {}


def _get_policy(backend: Backend, project: str, **_: Any) -> Answer:
    _project(backend, project)
    members = backend.project_facts.role_members
    return {
        "bindings": [{"role": role, "members": sorted(who)} for role, who in members.items()],
        "etag": "BwX=",
    }


def _get_key(backend: Backend, name: str, **_: Any) -> Answer:
    keys = backend.project_facts.keys
    if keys is not None and name not in keys:
        raise errors.ApiError(grpc.StatusCode.NOT_FOUND, f"CryptoKey {name} not found.")
    state = "ENABLED" if keys is None else keys[name]
    version = {"name": f"{name}/cryptoKeyVersions/1", "state": state}
    return {"name": name, "purpose": "ENCRYPT_DECRYPT", "primary": version}


def _get_repository(backend: Backend, name: str, **_: Any) -> Answer:
    repositories = backend.project_facts.repositories
    if repositories is not None and name not in repositories:
        raise errors.ApiError(grpc.StatusCode.NOT_FOUND, "Requested entity was not found.")
    return {"name": name, "format": "DOCKER"}


def _get_tag(backend: Backend, repository: str, package: str, tag: str, **_: Any) -> Answer:
    """The tag of an image that can be pulled."""
    _, project, _, location, _, name = repository.split("/")
    _get_repository(backend, repository)
    image = f"{location}-docker.pkg.dev/{project}/{name}/{package}:{tag}"
    if images.pull_error(image) or image in backend.project_facts.missing_images:
        raise errors.ApiError(grpc.StatusCode.NOT_FOUND, "Requested entity was not found.")
    package_name = f"{repository}/packages/{package.replace('/', '%2F')}"
    version = f"{package_name}/versions/sha256:{hashlib.sha256(image.encode()).hexdigest()}"
    return {"name": f"{package_name}/tags/{tag}", "version": version}


def _list_machine_types(backend: Backend, project: str, query: dict[str, str], **_: Any) -> Answer:
    """The zones that have a machine type: of every region that the facts do not leave it out of."""
    name = query.get("filter", "").removeprefix("name=")
    return _by_zone(backend, project, "machineTypes", name, machines.is_on_offer(name))


def _list_accelerator_types(
    backend: Backend, project: str, query: dict[str, str], **_: Any
) -> Answer:
    """The same of accelerators."""
    name = query.get("filter", "").removeprefix("name=")
    known = {kind.lower().replace("_", "-") for kind in machines.accelerator_types()}
    return _by_zone(backend, project, "acceleratorTypes", name, name in known)


def _by_zone(backend: Backend, project: str, kind: str, name: str, is_known: bool) -> Answer:
    _project(backend, project)
    facts = backend.project_facts
    items: Answer = {}
    for region in facts.regions:
        zone = f"zones/{region}-a"
        if is_known and name not in facts.missing_machines.get(region, ()):
            items[zone] = {kind: [{"name": name, "zone": f"{region}-a"}]}
        else:
            items[zone] = {"warning": {"code": "NO_RESULTS_ON_PAGE"}}
    return {"kind": f"compute#{kind[:-1]}AggregatedList", "items": items}


def _get_region(backend: Backend, project: str, region: str, **_: Any) -> Answer:
    """A region with the quotas whose metric is one of Compute Engine's, such as compute/CPUS."""
    _project(backend, project)
    quotas = [
        {"metric": metric.removeprefix("compute/"), "limit": float(regions[region]), "usage": 0.0}
        for metric, regions in backend.project_facts.quotas.items()
        if metric.startswith("compute/") and region in regions
    ]
    return {"name": region, "status": "UP", "quotas": quotas}


_RESOURCE_MANAGER = "cloudresourcemanager.googleapis.com"
_SERVICE_USAGE = "serviceusage.googleapis.com"
_ROUTES: list[_Route] = [
    (
        "cloudresourcemanager.projects.get",
        _RESOURCE_MANAGER, "GET", r"/v3/projects/([^/:]+)", _get_project,
    ),
    (
        "cloudresourcemanager.projects.get",
        _RESOURCE_MANAGER, "GET", r"/v1/projects/([^/:]+)", _get_project_v1,
    ),
    (
        "cloudresourcemanager.projects.testIamPermissions",
        _RESOURCE_MANAGER, "POST", r"/v[13]/projects/([^/:]+):testIamPermissions",
        _test_permissions,
    ),
    (
        "serviceusage.services.get",
        _SERVICE_USAGE, "GET", r"/v1/projects/([^/]+)/services/([^/]+)", _get_service,
    ),
    (
        "serviceusage.consumerQuotaMetrics.list",
        _SERVICE_USAGE, "GET", r"/v1beta1/projects/([^/]+)/services/([^/]+)/consumerQuotaMetrics",
        _list_quotas,
    ),
    (
        "cloudquotas.quotaInfos.get",
        "cloudquotas.googleapis.com", "GET",
        r"/v1/projects/([^/]+)/locations/global/services/([^/]+)/quotaInfos/([^/]+)",
        _get_quota_info,
    ),
    (
        "iam.serviceAccounts.get",
        "iam.googleapis.com", "GET", r"/v1/projects/([^/]+)/serviceAccounts/([^/]+)",
        _get_service_account,
    ),
    (
        "iam.serviceAccounts.testIamPermissions",
        "iam.googleapis.com", "POST",
        r"/v1/projects/([^/]+)/serviceAccounts/([^/:]+):testIamPermissions",
        _test_account_permissions,
    ),
    (
        "cloudresourcemanager.projects.getIamPolicy",
        _RESOURCE_MANAGER, "POST", r"/v[13]/projects/([^/:]+):getIamPolicy", _get_policy,
    ),
    (
        "cloudkms.cryptoKeys.get",
        "cloudkms.googleapis.com", "GET",
        r"/v1/(projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+)", _get_key,
    ),
    (
        "artifactregistry.repositories.get",
        "artifactregistry.googleapis.com", "GET",
        r"/v1/(projects/[^/]+/locations/[^/]+/repositories/[^/]+)", _get_repository,
    ),
    (
        "artifactregistry.tags.get",
        "artifactregistry.googleapis.com", "GET",
        r"/v1/(projects/[^/]+/locations/[^/]+/repositories/[^/]+)/packages/(.+)/tags/([^/]+)",
        _get_tag,
    ),
    (
        "compute.machineTypes.aggregatedList",
        "compute.googleapis.com", "GET",
        r"/compute/v1/projects/([^/]+)/aggregated/machineTypes", _list_machine_types,
    ),
    (
        "compute.acceleratorTypes.aggregatedList",
        "compute.googleapis.com", "GET",
        r"/compute/v1/projects/([^/]+)/aggregated/acceleratorTypes", _list_accelerator_types,
    ),
    (
        "compute.regions.get",
        "compute.googleapis.com", "GET", r"/compute/v1/projects/([^/]+)/regions/([^/]+)",
        _get_region,
    ),
]  # fmt: skip
