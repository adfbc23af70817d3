"""PipelineService and the uploads: pipelines and their versions."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from tests.kubeflow.backend import Backend, Call, Message, Version, fetch, serves
from tests.kubeflow.errors import ApiError, Code, UploadError, already_exists, invalid
from tests.kubeflow.listing import list_page
from tests.kubeflow.messages import check, without_empty, write_time
from tests.kubeflow.specs import Package, read_package

_FIELDS = ("id", "pipeline_id", "name", "display_name", "created_at", "description", "namespace")
_VERSION_FIELDS = (
    "id", "pipeline_version_id", "name", "display_name", "created_at", "status", "description",
)  # fmt: skip
_MAXIMAL_NAME, _MAXIMAL_VERSION_NAME = 128, 127


@serves("POST", "/apis/v2beta1/pipelines", "PipelineService.CreatePipeline")
def create_pipeline(backend: Backend, call: Call) -> Message:
    """Store a pipeline that has no version yet."""
    body = check(call.body, "V2beta1Pipeline")
    name = body.get("name") or body.get("display_name", "")
    if not name:
        raise invalid("name is required")
    namespace = backend.namespace(body["namespace"]) if body.get("namespace") else ""
    if _is_taken(backend, name, namespace):
        raise already_exists(f"Failed to create a new pipeline. The name {name} already exist.")
    described = {"display_name": body.get("display_name"), "description": body.get("description")}
    return without_empty(_add(backend, name, namespace, described))


@serves("POST", "/apis/v2beta1/pipelines/upload", "PipelineUploadService.UploadPipeline")
def upload_pipeline(backend: Backend, call: Call) -> Message:
    """Store a pipeline with its first version."""
    file_name, package = _read(call)
    name = call.query.get("name") or call.query.get("display_name") or file_name
    _check_length("Pipeline.Name", name, _MAXIMAL_NAME)
    namespace = _namespace(backend, call)
    if _is_taken(backend, name, namespace):
        text = "Failed to create a pipeline and a pipeline version"
        raise UploadError(Code.ALREADY_EXISTS, text)
    pipeline = _add(backend, name, namespace, call.query, _tags(call))
    _add_version(backend, call, pipeline["pipeline_id"], name, package)
    return without_empty(pipeline)


@serves(
    "POST", "/apis/v2beta1/pipelines/upload_version", "PipelineUploadService.UploadPipelineVersion"
)
def upload_version(backend: Backend, call: Call) -> Message:
    """Store another version of a pipeline."""
    file_name, package = _read(call)
    identifier = call.query.get("pipelineid", "")
    if identifier not in backend.pipelines:
        raise UploadError(Code.INVALID_ARGUMENT, "Failed to create a pipeline version")
    name = call.query.get("name") or call.query.get("display_name") or file_name
    _check_length("PipelineVersion.Name", name, _MAXIMAL_VERSION_NAME)
    if any(one.message["name"] == name for one in _versions_of(backend, identifier)):
        raise UploadError(Code.ALREADY_EXISTS, "Failed to create a pipeline version")
    return _as_message(_add_version(backend, call, identifier, name, package))


@serves("GET", "/apis/v2beta1/pipelines", "PipelineService.ListPipelines")
def list_pipelines(backend: Backend, call: Call) -> Message:
    """List the pipelines of a namespace."""
    namespace = _namespace(backend, call)
    items = [one for one in backend.pipelines.values() if one["namespace"] == namespace]
    page, size, token = list_page(items, call.query, _FIELDS, "pipeline_id")
    return without_empty(
        {
            "pipelines": [without_empty(one) for one in page],
            "total_size": size,
            "next_page_token": token,
        }
    )


@serves("GET", "/apis/v2beta1/pipelines/names/{name}", "PipelineService.GetPipelineByName")
def get_pipeline_by_name(backend: Backend, call: Call) -> Message:
    """Answer with the pipeline of a name."""
    namespace = _namespace(backend, call)
    for one in backend.pipelines.values():
        if one["name"] == call.path["name"] and one["namespace"] == namespace:
            return without_empty(one)
    raise ApiError(Code.NOT_FOUND, f"Pipeline {call.path['name']} not found")


@serves("GET", "/apis/v2beta1/pipelines/{pipeline_id}", "PipelineService.GetPipeline")
def get_pipeline(backend: Backend, call: Call) -> Message:
    """Answer with a pipeline."""
    return without_empty(fetch(backend.pipelines, "Pipeline", call.path["pipeline_id"]))


@serves("DELETE", "/apis/v2beta1/pipelines/{pipeline_id}", "PipelineService.DeletePipeline")
def delete_pipeline(backend: Backend, call: Call) -> Message:
    """Delete a pipeline that has no version, or with its versions."""
    found = fetch(backend.pipelines, "Pipeline", call.path["pipeline_id"])
    versions = _versions_of(backend, found["pipeline_id"])
    if versions and call.query.get("cascade", "").lower() != "true":
        raise invalid(
            f"Failed to delete pipeline with id {found['pipeline_id']} as it has existing pipeline "
            "versions. Set cascade=true to delete all versions"
        )
    for version in versions:
        del backend.versions[version.message["pipeline_version_id"]]
    del backend.pipelines[found["pipeline_id"]]
    return {}


@serves(
    "GET", "/apis/v2beta1/pipelines/{pipeline_id}/versions", "PipelineService.ListPipelineVersions"
)
def list_versions(backend: Backend, call: Call) -> Message:
    """List the versions of a pipeline."""
    fetch(backend.pipelines, "Pipeline", call.path["pipeline_id"])
    items = [one.message for one in _versions_of(backend, call.path["pipeline_id"])]
    page, size, token = list_page(items, call.query, _VERSION_FIELDS, "pipeline_version_id")
    ids = [one["pipeline_version_id"] for one in page]
    return without_empty(
        {
            "pipeline_versions": [_as_message(backend.versions[one]) for one in ids],
            "total_size": size,
            "next_page_token": token,
        }
    )


@serves(
    "GET",
    "/apis/v2beta1/pipelines/{pipeline_id}/versions/{pipeline_version_id}",
    "PipelineService.GetPipelineVersion",
)
def get_version(backend: Backend, call: Call) -> Message:
    """Answer with a version, and with what it runs."""
    return _as_message(_fetch_version(backend, call))


@serves(
    "DELETE",
    "/apis/v2beta1/pipelines/{pipeline_id}/versions/{pipeline_version_id}",
    "PipelineService.DeletePipelineVersion",
)
def delete_version(backend: Backend, call: Call) -> Message:
    """Delete a version; its runs stay."""
    del backend.versions[_fetch_version(backend, call).message["pipeline_version_id"]]
    return {}


def _namespace(backend: Backend, call: Call) -> str:
    """Without a namespace shared pipelines are meant, for many users too."""
    given = call.query.get("namespace", "")
    return backend.namespace(given) if given else ""


def _fetch_version(backend: Backend, call: Call) -> Version:
    found: Version = fetch(backend.versions, "PipelineVersion", call.path["pipeline_version_id"])
    return found


def _is_taken(backend: Backend, name: str, namespace: str) -> bool:
    return any(
        one["name"] == name and one["namespace"] == namespace for one in backend.pipelines.values()
    )


def _add(
    backend: Backend,
    name: str,
    namespace: str,
    described: Mapping[str, Any],
    tags: Mapping[str, str] | None = None,
) -> Message:
    pipeline = {
        "pipeline_id": str(uuid.uuid4()),
        "name": name,
        "display_name": described.get("display_name") or name,
        "description": described.get("description") or "",
        "created_at": write_time(backend.clock.now()),
        "namespace": namespace,
        "tags": dict(tags or {}),
    }
    backend.pipelines[pipeline["pipeline_id"]] = pipeline
    return pipeline


def _versions_of(backend: Backend, pipeline_id: str) -> list[Version]:
    return [one for one in backend.versions.values() if one.message["pipeline_id"] == pipeline_id]


def _read(call: Call) -> tuple[str, Package]:
    if call.upload is None:
        raise UploadError(Code.INVALID_ARGUMENT, "Failed to read pipeline from file")
    name, content = call.upload
    if not name.endswith((".yaml", ".yml", ".json")):
        raise UploadError(Code.INVALID_ARGUMENT, "Failed to read a pipeline spec file")
    try:
        return name, read_package(content.decode())
    except (ApiError, UnicodeDecodeError) as error:
        raise UploadError(Code.INVALID_ARGUMENT, str(error)) from error


def _add_version(
    backend: Backend, call: Call, pipeline_id: str, name: str, package: Package
) -> Version:
    message = {
        "pipeline_id": pipeline_id,
        "pipeline_version_id": str(uuid.uuid4()),
        "name": name,
        "display_name": call.query.get("display_name") or name,
        "description": call.query.get("description", ""),
        "created_at": write_time(backend.clock.now()),
        "tags": _tags(call),
    }
    version = Version(message, package)
    backend.versions[message["pipeline_version_id"]] = version
    return version


def _as_message(version: Version) -> Message:
    return {**without_empty(version.message), "pipeline_spec": version.package.as_struct()}


def _tags(call: Call) -> dict[str, str]:
    try:
        tags: Any = json.loads(call.query.get("tags") or "{}")
    except ValueError:
        raise UploadError(Code.INVALID_ARGUMENT, "Failed to parse tags query parameter.") from None
    return dict(tags)


def _check_length(field: str, value: str, limit: int) -> None:
    if len(value) > limit:
        raise UploadError(Code.INVALID_ARGUMENT, f"{field} length cannot exceed {limit}")
