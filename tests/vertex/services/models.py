"""ModelService: models with versions and aliases.

Every version is stored under its name (models/ID@1), and the default version once more without
the version (models/ID): that is what lists show.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from google.cloud import aiplatform_v1
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from tests.vertex import errors
from tests.vertex.backend import Call, check_id, handles, require
from tests.vertex.images import pull_error
from tests.vertex.services import checks, generic, paging
from tests.vertex.store import Store

Model = aiplatform_v1.Model.pb()

_ID_PATTERN = r"[a-z_][a-z0-9_-]{0,62}"
_ALIAS_PATTERN = r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9-]"
_MODEL_FIELDS = {"display_name", "description"}
_VERSION_FIELDS = {"version_description"}
_DEFAULT = "default"


@handles("ModelService.UploadModel")
def upload_model(call: Call, request: Any) -> Message:
    """Store a new model, or a new version of one."""
    checks.check_parent(call, request.parent)
    require(request, "model.display_name")
    model = request.model
    _check_model(model)
    for alias in model.version_aliases:
        check_id("version_aliases", alias, _ALIAS_PATTERN)
    if request.parent_model:
        name, version = _name_of_next_version(call, request)
    else:
        name = generic.new_name(call, request, "model", "models", _ID_PATTERN)
        version = "1"
        if name in call.store:
            raise errors.already_exists(name)
    _add_version(call, name, version, model)
    response = aiplatform_v1.UploadModelResponse.pb()(model=name, model_version_id=version)
    return call.operation(name, response)


@handles("ModelService.GetModel")
def get_model(call: Call, request: Any) -> Message:
    """Give a version of a model: the one named by number or alias, or the default one."""
    checks.check_project(call, request.name)
    return _with_deployments(call, find_version(call, request.name))


@handles("ModelService.ListModels")
def list_models(call: Call, request: Any) -> Message:
    """List models, each as its default version."""
    checks.check_parent(call, request.parent)
    models = call.store.children(request.parent, "models", Model)
    deployed = [_with_deployments(call, model) for model in models]
    return paging.page(call, request, deployed, virtual=_VIRTUAL_FIELDS)


@handles("ModelService.ListModelVersions")
def list_versions(call: Call, request: Any) -> Message:
    """List the versions of a model, the newest last."""
    name = _base_name(request.name)
    call.store.fetch(name, Model)
    versions = [_with_deployments(call, version) for version in versions_of(call, name)]
    return paging.page(call, request, versions)


@handles("ModelService.UpdateModel")
def update_model(call: Call, request: Any) -> Message:
    """Change a model, or with models/ID@VERSION one version."""
    named = request.model.name
    is_version = "@" in named and not named.endswith("@-")
    paths = set(request.update_mask.paths)
    wrong = paths & (_MODEL_FIELDS if is_version else _VERSION_FIELDS)
    if wrong:
        raise errors.failed_precondition(
            f"{', '.join(sorted(wrong))} cannot be updated by the name {named!r}."
        )
    found = find_version(call, named)
    checks.check_etag(found, request.model.etag)
    for version in [found] if is_version else versions_of(call, found.name):
        generic.merge(version, request.model, request.update_mask)
        _save_version(call, version)
    return find_version(call, named)


@handles("ModelService.MergeVersionAliases")
def merge_aliases(call: Call, request: Any) -> Message:
    """Give a version aliases, taking them from other versions; -alias removes one."""
    require(request, "version_aliases")
    version = find_version(call, request.name)
    removed = {alias[1:] for alias in request.version_aliases if alias.startswith("-")}
    added = [alias for alias in request.version_aliases if not alias.startswith("-")]
    for alias in (*added, *removed):
        check_id("version_aliases", alias, _ALIAS_PATTERN)
    if _DEFAULT in removed:
        raise errors.invalid("The alias default cannot be removed, only moved to another version.")
    kept = [alias for alias in version.version_aliases if alias not in removed]
    _set_aliases(version, [*kept, *added])
    _save_version(call, version)
    _take_aliases_from_others(call, version, added)
    return find_version(call, request.name)


@handles("ModelService.DeleteModel")
def delete_model(call: Call, request: Any) -> Message:
    """Delete a model with all its versions."""
    model = call.store.fetch(_base_name(request.name), Model)
    _check_not_deployed(call, model.name, "")
    call.store.remove(model.name)
    return call.operation(model.name, Empty(), "DeleteOperationMetadata")


@handles("ModelService.DeleteModelVersion")
def delete_version(call: Call, request: Any) -> Message:
    """Delete a version that is not the default one."""
    if "@" not in request.name:
        raise errors.invalid(f"{request.name!r} names no version.")
    version = find_version(call, request.name)
    if _DEFAULT in version.version_aliases:
        raise errors.failed_precondition(
            "The default version cannot be deleted: move the alias default, or delete the model."
        )
    _check_not_deployed(call, version.name, version.version_id)
    call.store.remove(f"{version.name}@{version.version_id}")
    metadata = "DeleteOperationMetadata"
    return call.operation(version.name, Empty(), metadata)


def find_version(call: Call, name: str) -> Any:
    """The version that a name means.

    Args:
        call: The call.
        name: A model's name, with @ and a version's number or alias, or without for the default.

    Returns:
        The Model.

    Raises:
        ApiError: there is none (404).
    """
    base, _, version = name.partition("@")
    model = call.store.fetch(base, Model)
    if version in ("", "-"):
        return model
    for candidate in versions_of(call, base):
        if version == candidate.version_id or version in candidate.version_aliases:
            return candidate
    raise errors.not_found(name)


def versions_of(call: Call, name: str) -> list[Any]:
    """The versions of a model, the oldest first."""
    base = call.backend.project_facts.canonical_name(name)
    # Evaluations stand below a version.
    own = re.compile(f"{re.escape(base)}@[^/]+")
    names = [known for known in call.store if own.fullmatch(known)]
    return sorted((call.store[known] for known in names), key=lambda model: int(model.version_id))


def _name_of_next_version(call: Call, request: Any) -> tuple[str, str]:
    if request.model_id:
        raise errors.invalid("model_id and parent_model exclude one another.")
    parent = call.store.fetch(_base_name(request.parent_model), Model)
    number = call.backend.version_counts[parent.name] + 1
    return parent.name, str(number)


def _add_version(call: Call, name: str, version: str, model: Any) -> None:
    is_first = version == "1"
    model.ClearField("supported_deployment_resources_types")
    model.supported_deployment_resources_types.append(
        aiplatform_v1.Model.DeploymentResourcesType.DEDICATED_RESOURCES
    )
    if is_first and _DEFAULT not in model.version_aliases:
        model.version_aliases.append(_DEFAULT)
    model.version_id = version
    now = call.backend.clock.timestamp()
    model.version_create_time.CopyFrom(now)
    model.create_time.CopyFrom(now if is_first else call.store.fetch(name, Model).create_time)
    model.name = name
    call.backend.version_counts[name] = int(version)
    _save_version(call, model)
    _take_aliases_from_others(call, model, model.version_aliases)


def _save_version(call: Call, model: Any) -> None:
    checks.check_labels(model)
    now = call.backend.clock.timestamp()
    model.version_update_time.CopyFrom(now)
    generic.stamp(call, model, "update_time")
    call.store.put(f"{model.name}@{model.version_id}", model)
    if _DEFAULT in model.version_aliases:
        call.store.put(model.name, model)


def _take_aliases_from_others(call: Call, owner: Any, aliases: Iterable[str]) -> None:
    taken = set(aliases)
    for other in versions_of(call, owner.name):
        kept = [alias for alias in other.version_aliases if alias not in taken]
        if other.version_id != owner.version_id and len(kept) < len(other.version_aliases):
            _set_aliases(other, kept)
            call.store.put(f"{other.name}@{other.version_id}", other)


def _set_aliases(model: Any, aliases: list[str]) -> None:
    model.ClearField("version_aliases")
    model.version_aliases.extend(dict.fromkeys(aliases))


def _base_name(name: str) -> str:
    return name.partition("@")[0]


def _check_model(model: Any) -> None:
    if model.artifact_uri and not model.artifact_uri.startswith("gs://"):
        raise errors.invalid(f"Invalid model.artifact_uri {model.artifact_uri!r}: not a gs:// URI.")
    if not model.HasField("container_spec") and not model.HasField("base_model_source"):
        raise errors.invalid("Required field model.container_spec is not set.")
    container = model.container_spec
    if model.HasField("container_spec") and not re.fullmatch(r"[\w.-]+/.+", container.image_uri):
        raise errors.invalid(
            f"Invalid model.container_spec.image_uri {container.image_uri!r}: an image in a "
            "registry is needed."
        )
    # The service takes the image in as the model is uploaded.
    if model.HasField("container_spec") and (error := pull_error(container.image_uri)):
        raise errors.failed_precondition(error)
    for field in ("predict_route", "health_route"):
        route = getattr(container, field)
        if route and not route.startswith("/"):
            raise errors.invalid(f"Invalid model.container_spec.{field} {route!r}: no leading /.")
    names = [variable.name for variable in container.env]
    if len(set(names)) < len(names):
        raise errors.invalid("model.container_spec.env names a variable twice.")


def _with_deployments(call: Call, model: Any) -> Any:
    """Tell where a version is deployed; endpoints know, models do not store it."""
    for endpoint in _endpoints(call.store):
        for deployed in endpoint.deployed_models:
            version = (_base_name(deployed.model), deployed.model_version_id)
            if version == (_base_name(model.name), model.version_id):
                model.deployed_models.add(endpoint=endpoint.name, deployed_model_id=deployed.id)
    return model


def _check_not_deployed(call: Call, name: str, version: str) -> None:
    for endpoint in _endpoints(call.store):
        for deployed in endpoint.deployed_models:
            same = _base_name(deployed.model) == name
            if same and version in ("", deployed.model_version_id):
                raise errors.failed_precondition(
                    f"The model {name} is deployed to {endpoint.name}: undeploy it first."
                )


def _endpoints(store: Store) -> list[Any]:
    return list(store.of_collection("endpoints"))


_VIRTUAL_FIELDS = {
    "model": lambda model: model.name.rsplit("/", 1)[-1],
    "model_user_id": lambda model: model.name.rsplit("/", 1)[-1],
}
