"""Registers a tuned model in the Vertex AI Model Registry: one version a run.

A model of its own has an id that follows from the run, so a second request for it is refused. A
version under a parent has no id that we may choose: it is found by the run's label, and should two
requests have made two of them, the newer one stays, which has the aliases.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass

from google.api_core import exceptions
from google.api_core.operation import Operation
from google.cloud import aiplatform_v1
from google.cloud.aiplatform_v1.types import (
    EncryptionSpec,
    Model,
    ModelContainerSpec,
    UploadModelRequest,
)

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.vertex import (
    ONCE,
    READ,
    EnsuredResource,
    Vertex,
    ensure,
    found_or_none,
    wait,
    wait_until_found,
)
from kfp_llm_tuning.components.common.vertex_errors import explained
from kfp_llm_tuning.components.upload.labels import RUN_LABEL
from kfp_llm_tuning.components.upload.vertex_names import resource_id

# A request whose answer was lost is done within this time, or never.
_LATE_SECONDS = 60.0

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VertexModel:
    """A version to register.

    Attributes:
        display_name: What the user called the model.
        run_id: The pipeline run.
        artifact_uri: Folder of the weights in Cloud Storage.
        container: What serves it.
        labels: Legal labels, that of the run among them.
        description: For people.
        parent_model: Id or resource name of the model that this becomes a version of; an id that
            no model has yet becomes this one's. Empty: a model of its own.
        aliases: Version aliases.
        encryption_key: Customer-managed key; empty for Google's own.
    """

    display_name: str
    run_id: str
    artifact_uri: str
    container: ModelContainerSpec
    labels: Mapping[str, str]
    description: str
    parent_model: str = ""
    aliases: tuple[str, ...] = ()
    encryption_key: str = ""


def register(vertex: Vertex, model: VertexModel) -> EnsuredResource[Model]:
    """Registers a version unless the run has registered it already.

    Args:
        vertex: Where.
        model: What.

    Returns:
        The version, and the operation that made it.

    Raises:
        UserError: If Vertex AI refuses.
    """
    registration = (
        _VersionRegistration(vertex, model)
        if model.parent_model
        else _ModelRegistration(vertex, model)
    )

    def ensured() -> EnsuredResource[Model]:
        return ensure(
            registration.find,
            registration.start,
            f"register the model {model.display_name} as {registration.name}",
            "parent_model" if model.parent_model else "",
        )

    registered = ensured()
    if registration.may_come_late:
        _logger.warning("Vertex AI may still get a request of which no answer came: waiting.")
        time.sleep(_LATE_SECONDS)
        registered = EnsuredResource(ensured().resource, registered.operation)
    return registered


def read_version(vertex: Vertex, resource_name: str) -> Model:
    """Reads a version.

    Args:
        vertex: Where.
        resource_name: ``projects/../models/ID@VERSION``.

    Returns:
        The version.

    Raises:
        UserError: If it is not there.
    """
    client = vertex.client(aiplatform_v1.ModelServiceClient)
    with explained(f"read the model {resource_name}", "model_resource_name"):
        return client.get_model(name=resource_name, **READ)


def version_name(model: Model) -> str:
    """Names a version: ``projects/../models/ID@VERSION``."""
    return f"{model.name.partition('@')[0]}@{model.version_id}"


class _ModelRegistration:
    """Finds and starts the registration of a model that is no other's version."""

    def __init__(self, vertex: Vertex, model: VertexModel) -> None:
        self._vertex = vertex
        self._model = model
        self._client = vertex.client(aiplatform_v1.ModelServiceClient)
        self.name = _target(vertex, model)

    @property
    def may_come_late(self) -> bool:
        """Whether a lost request that is done late would make a second version."""
        return False

    def find(self) -> Model | None:
        return self._read(f"{self.name}@1")

    def start(self) -> Operation:
        return self._upload(UploadModelRequest(model_id=self.name.rpartition("/")[2]))

    def _read(self, name: str) -> Model | None:
        return found_or_none(lambda: self._client.get_model(name=name, **ONCE))

    def _upload(self, request: UploadModelRequest) -> Operation:
        request.parent = self._vertex.parent
        request.model = _resource(self._model)
        return self._client.upload_model(request=request, **ONCE)


class _VersionRegistration(_ModelRegistration):
    """Finds and starts the registration of a further version of a model."""

    def __init__(self, vertex: Vertex, model: VertexModel) -> None:
        super().__init__(vertex, model)
        self._requests = 0

    @property
    def may_come_late(self) -> bool:
        return self._requests > 1

    def find(self) -> Model | None:
        run = self._model.labels[RUN_LABEL]
        request = {"name": self.name, "filter": f'labels.{RUN_LABEL}="{run}"'}
        found = found_or_none(
            lambda: list(self._client.list_model_versions(request=request, **ONCE))
        )
        versions = sorted(found or [], key=lambda version: int(version.version_id))
        for duplicate in versions[:-1]:
            self._delete(duplicate)
        return versions[-1] if versions else None

    def start(self) -> Operation:
        if self._read(self.name) is not None:
            self._requests += 1
            return self._upload(UploadModelRequest(parent_model=self.name))
        if self._model.parent_model.startswith("projects/"):
            raise UserError(_no_parent(self.name))
        try:
            return super().start()
        except exceptions.Conflict:
            # Another run makes the parent at this moment: this one's is then a further version.
            wait_until_found(lambda: self._read(self.name))
            message = f"{self.name} was made by another run"
            raise exceptions.Aborted(message) from None  # type: ignore[no-untyped-call]

    def _delete(self, duplicate: Model) -> None:
        name = version_name(duplicate)
        _logger.warning("%s was registered twice by this run: deleting %s.", self.name, name)
        operation = found_or_none(lambda: self._client.delete_model_version(name=name, **ONCE))
        if operation is not None:
            wait(operation, f"delete {name}, which this run registered twice")


def _target(vertex: Vertex, model: VertexModel) -> str:
    parent = model.parent_model.partition("@")[0]
    if not parent:
        parent = resource_id(model.display_name, model.run_id)
    if not parent.startswith("projects/"):
        return f"{vertex.parent}/models/{parent}"
    location = aiplatform_v1.ModelServiceClient.parse_model_path(parent).get("location")
    if location != vertex.location:
        raise UserError(
            Problem(
                f"{parent} is no model in {vertex.location}, where this one is uploaded to.",
                "parent_model",
                f"a model's id, or projects/PROJECT/locations/{vertex.location}/models/ID",
            )
        )
    return parent


def _no_parent(name: str) -> Problem:
    return Problem(
        f"there is no model {name}.",
        "parent_model",
        "a model that exists, or a new id without projects/..., which this run then makes",
    )


def _resource(model: VertexModel) -> Model:
    return Model(
        display_name=model.display_name,
        description=model.description,
        version_description=model.description,
        labels=dict(model.labels),
        artifact_uri=model.artifact_uri,
        version_aliases=model.aliases,
        encryption_spec=_encryption(model.encryption_key),
        container_spec=model.container,
    )


def _encryption(key: str) -> EncryptionSpec | None:
    return EncryptionSpec(kms_key_name=key) if key else None
