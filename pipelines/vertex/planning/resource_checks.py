"""Looks at what a run names: buckets, accounts, keys, and resources of Vertex AI."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from kfp_llm_tuning.components.common.resource_paths import full_name
from kfp_llm_tuning.components.common.vertex import READ, Vertex, found_or_none
from kfp_llm_tuning.components.common.vertex_errors import explained
from kfp_llm_tuning.pipelines.planning.checks import Check
from kfp_llm_tuning.pipelines.vertex.planning.google_apis import GoogleApis
from kfp_llm_tuning.pipelines.vertex.planning.vertex_run import VertexRun

_BUCKETS = "https://storage.googleapis.com/storage/v1/b"
_ACCOUNTS = "https://iam.googleapis.com/v1/projects/-/serviceAccounts"
_KEYS = "https://cloudkms.googleapis.com/v1"
_POLICY = "https://cloudresourcemanager.googleapis.com/v3/projects/{}:getIamPolicy"
_WRITES = ("storage.objects.create", "storage.objects.get", "storage.objects.delete")
_ACT_AS = "iam.serviceAccounts.actAs"
_VERTEX_ROLES = {"aiplatform.user", "aiplatform.admin", "editor", "owner"}
_FIRST_RUN = (
    "If the first run answers 500: create any Vertex AI dataset (console: Vertex AI, Datasets), "
    "wait five minutes, and submit again."
)


def check_buckets(apis: GoogleApis, run: VertexRun) -> list[Check]:
    """Looks whether the run's folder can be written, and whether it is near the pipeline."""
    name = run.settings.pipeline_root.removeprefix("gs://").partition("/")[0]
    if not name:
        return []
    bucket = apis.find(f"{_BUCKETS}/{name}", f"read the bucket {name}")
    if bucket is None:
        fix = f"gcloud storage buckets create gs://{name} --location={run.settings.region}"
        return [Check("bucket", "problem", f"there is no bucket {name}.", fix)]
    query = "&".join(f"permissions={permission}" for permission in _WRITES)
    url = f"{_BUCKETS}/{name}/iam/testPermissions?{query}"
    granted = apis.get(url, f"look up permissions on {name}").get("permissions", [])
    missing = [permission for permission in _WRITES if permission not in granted]
    if missing:
        what = f"{apis.account} lacks {', '.join(missing)} on {name}."
        return [Check("bucket", "problem", what, "Grant roles/storage.objectAdmin on it.")]
    location = str(bucket.get("location", "")).lower()
    if bucket.get("locationType") == "region" and location != run.settings.region:
        what = f"{name} is in {location}, the pipeline in {run.settings.region}: slower, and paid."
        fix = "Give a bucket of the pipeline's region."
        return [Check("bucket", "warning", what, fix)]
    return [Check("bucket", "ok", f"{name} in {location} can be written.")]


def check_service_account(apis: GoogleApis, run: VertexRun, number: str) -> list[Check]:
    """Looks whether the account that the tasks run as is there, usable, and has a role."""
    default = f"{number}-compute@developer.gserviceaccount.com"
    account = run.settings.service_account or default
    url = f"{_ACCOUNTS}/{quote(account)}"
    found = apis.find(url, f"read the service account {account}")
    if found is None:
        fix = "Give --service-account."
        if account == default:
            fix = "Enable the Compute Engine API, which makes it, or give --service-account."
        return [Check("service account", "problem", f"there is no {account}.", fix)]
    if found.get("disabled"):
        fix = f"gcloud iam service-accounts enable {account}"
        return [Check("service account", "problem", f"{account} is disabled.", fix)]
    answer = apis.ask(
        f"{url}:testIamPermissions", {"permissions": [_ACT_AS]}, f"look whether {account} is usable"
    )
    if _ACT_AS not in answer.get("permissions", []):
        what = f"{apis.account} may not act as {account}."
        fix = "Grant roles/iam.serviceAccountUser on it."
        return [Check("service account", "problem", what, fix)]
    return _check_roles(apis, run, account)


def _check_roles(apis: GoogleApis, run: VertexRun, account: str) -> list[Check]:
    url = _POLICY.format(run.settings.project)
    bindings = apis.ask(url, {}, "read the project's policy").get("bindings", [])
    member = f"serviceAccount:{account}"
    roles = {
        binding["role"].removeprefix("roles/")
        for binding in bindings
        if member in binding.get("members", [])
    }
    if roles & _VERTEX_ROLES:
        return [Check("service account", "ok", f"{account} is there and usable.")]
    what = (
        f"{account} has no role for Vertex AI on the project itself: tasks may fail with "
        "Permission 'aiplatform.metadataStores.get' denied."
    )
    fix = "Grant roles/aiplatform.user and roles/storage.objectAdmin, unless a group has them."
    return [Check("service account", "warning", what, fix)]


def check_key(apis: GoogleApis, run: VertexRun) -> list[Check]:
    """Looks whether the encryption key is there and enabled."""
    key = run.settings.encryption_key
    if not key:
        return []
    found = apis.find(f"{_KEYS}/{key}", f"read the key {key}")
    if found is None:
        return [Check("encryption key", "problem", f"there is no key {key}.")]
    state = found.get("primary", {}).get("state", "")
    if state != "ENABLED":
        what = f"{key} is {state.lower() or 'without a primary version'}."
        return [Check("encryption key", "problem", what, "Enable a version of it.")]
    return [Check("encryption key", "ok", f"{key} is enabled.")]


def check_metadata_store(vertex: Vertex) -> list[Check]:
    """Looks whether Vertex AI was used before: the first run of all may fail."""
    from google.cloud.aiplatform_v1 import MetadataServiceClient

    client = vertex.client(MetadataServiceClient)
    name = f"{vertex.parent}/metadataStores/default"
    with explained("read the metadata store"):
        found = found_or_none(lambda: client.get_metadata_store(name=name, **READ))
    if found is None:
        what = f"no pipeline ever ran in {vertex.location}: {name} is made by the first one."
        return [Check("metadata store", "warning", what, _FIRST_RUN)]
    return [Check("metadata store", "ok", f"{name} is there.")]


def check_vertex_resources(vertex: Vertex, run: VertexRun) -> list[Check]:
    """Looks whether the resources of Vertex AI that the run names are there."""
    from google.cloud import aiplatform_v1

    names = {
        parameter: str(run.value(parameter))
        for parameter in (
            "tensorboard_resource_id",
            "dataset_name",
            "parent_model",
            "endpoint_resource_name",
        )
    }
    names["tensorboard_resource_id"] = full_name(
        names["tensorboard_resource_id"], "tensorboards", vertex.project, run.settings.region
    )
    names["persistent_resource"] = run.settings.persistent_resource_name
    checks: list[Check] = []
    for parameter, kind, method in (
        ("tensorboard_resource_id", aiplatform_v1.TensorboardServiceClient, "get_tensorboard"),
        ("dataset_name", aiplatform_v1.DatasetServiceClient, "get_dataset"),
        ("parent_model", aiplatform_v1.ModelServiceClient, "get_model"),
        ("endpoint_resource_name", aiplatform_v1.EndpointServiceClient, "get_endpoint"),
        (
            "persistent_resource",
            aiplatform_v1.PersistentResourceServiceClient,
            "get_persistent_resource",
        ),
    ):
        name = names[parameter]
        # A bare id of a model may name one that the run makes.
        if name.startswith("projects/"):
            region = name.split("/")[3]
            endpoint = vertex.endpoint if region == vertex.location else ""
            there = Vertex(vertex.project, region, endpoint)
            read = getattr(there.client(kind), method)
            checks += _check_resource(parameter, name, read)
    return checks


def _check_resource(parameter: str, name: str, read: Callable[..., Any]) -> list[Check]:
    with explained(f"read {name}", parameter):
        if found_or_none(lambda: read(name=name, **READ)) is None:
            return [Check(parameter, "problem", f"there is no {name}.")]
    return [Check(parameter, "ok", f"{name} is there.")]
