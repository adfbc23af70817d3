"""Where tuned models are registered, MLflow or Vertex AI, behind one interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from kfp_llm_tuning.components.common.credentials import hide_credentials
from kfp_llm_tuning.components.common.platforms import LOCAL, VERTEX

if TYPE_CHECKING:
    from kfp_llm_tuning.components.common.vertex import Vertex
    from kfp_llm_tuning.components.upload.catalogue import Version

REGISTRY_PLATFORM_NAMES = (LOCAL.name, VERTEX.name)


class Registry(Protocol):
    """A registry of tuned models."""

    @property
    def place(self) -> str:
        """Where it is, for people."""

    @property
    def deletes_weights(self) -> bool:
        """Whether deleting a version deletes its weights."""

    def list_versions(self, labels: Mapping[str, str]) -> Sequence[Version]:
        """Lists the versions that have all of the labels, sorted by name, newest first."""

    def find_version(self, address: str) -> Version:
        """Finds the version that an address points at: the deployed, else the newest one."""

    def find_versions(self, address: str) -> Sequence[Version]:
        """Finds the version that an address points at, or all of a model without a version."""

    def evaluation(self, version: Any) -> Mapping[str, Any]:
        """Reads evaluation.json of a version that was found; empty where it is not kept."""

    def delete(self, versions: Sequence[Any]) -> None:
        """Deletes versions that ``find_versions`` found."""


@dataclass(frozen=True)
class MlflowRegistry:
    """The registry of this machine and of MLflow servers.

    Attributes:
        uri: MLflow tracking URI.
        deletes_weights: They are the registry's own.
    """

    uri: str
    deletes_weights: bool = True

    @property
    def place(self) -> str:
        """The URI, its password hidden."""
        return hide_credentials(self.uri)

    def list_versions(self, labels: Mapping[str, str]) -> Sequence[Version]:
        """Lists the versions that have all of the labels, sorted by name, newest first."""
        from kfp_llm_tuning.components.upload.catalogue import list_versions

        return list_versions(self.uri, labels)

    def find_version(self, address: str) -> Version:
        """Finds the version that an address points at: the deployed, else the newest one."""
        from kfp_llm_tuning.components.upload.catalogue import find_version
        from kfp_llm_tuning.components.upload.names import parse_address

        return find_version(self.uri, parse_address(address))

    def find_versions(self, address: str) -> Sequence[Version]:
        """Finds the version that an address points at, or all of a model without a version."""
        from kfp_llm_tuning.components.upload.names import parse_address

        found, parsed = self.find_version(address), parse_address(address)
        if parsed.version or parsed.alias:
            return [found]
        return [version for version in self.list_versions({}) if version.name == parsed.name]

    def evaluation(self, version: Any) -> Mapping[str, Any]:
        """Reads evaluation.json of a version that was found; empty where it is not kept."""
        from kfp_llm_tuning.components.upload.catalogue import read_evaluation

        return read_evaluation(self.uri, version)

    def delete(self, versions: Sequence[Any]) -> None:
        """Deletes versions with their runs and weights."""
        from kfp_llm_tuning.components.upload.catalogue import delete

        delete(self.uri, list(versions))


@dataclass(frozen=True)
class VertexRegistry:
    """The Vertex AI Model Registry of one project and region.

    Attributes:
        vertex: Where.
        deletes_weights: They lie in the user's bucket, which is left alone.
    """

    vertex: Vertex
    deletes_weights: bool = False

    @property
    def place(self) -> str:
        """Project and region."""
        return self.vertex.parent

    def list_versions(self, labels: Mapping[str, str]) -> Sequence[Version]:
        """Lists the versions that have all of the labels, sorted by name, newest first."""
        from kfp_llm_tuning.pipelines.vertex.model_catalogue import list_versions

        return list_versions(self.vertex, labels)

    def find_version(self, address: str) -> Version:
        """Finds the version that an address points at: the deployed, else the newest one."""
        found = self.find_versions(address)
        return next((version for version in found if version.deployed), found[0])

    def find_versions(self, address: str) -> Sequence[Version]:
        """Finds the version that an address points at, or all of a model without a version."""
        from kfp_llm_tuning.pipelines.vertex.model_catalogue import find_versions

        return find_versions(self.vertex, address)

    def evaluation(self, version: Any) -> Mapping[str, Any]:
        """Gives nothing: Vertex AI keeps figures, and those stand on the version itself."""
        return {}

    def delete(self, versions: Sequence[Any]) -> None:
        """Deletes versions that are deployed nowhere."""
        from kfp_llm_tuning.pipelines.vertex.model_catalogue import delete

        delete(self.vertex, versions)


def deployed_version(
    registry_uri: str, name: str, project: str = "", location: str = "", endpoint: str = ""
) -> Version | None:
    """Finds the version that answers for a model.

    Args:
        registry_uri: MLflow tracking URI; empty for the Vertex AI Model Registry.
        name: Display name of the model.
        project: Project on Vertex AI.
        location: Region on Vertex AI.
        endpoint: URL of Vertex AI in that region; empty for the region's own.

    Returns:
        The newest version of that name that is deployed; None where none is.
    """
    from kfp_llm_tuning.components.common.vertex import Vertex
    from kfp_llm_tuning.components.tracking.connection import connect
    from kfp_llm_tuning.components.upload.names import registered_name

    registry: Registry = VertexRegistry(Vertex(project, location, endpoint))
    if registry_uri:
        # A registry that is not there yet has no version, which is no mistake here.
        connect(registry_uri, create=True)
        registry, name = MlflowRegistry(registry_uri), registered_name(name)
    found = [one for one in registry.list_versions({}) if one.deployed and one.name == name]
    return max(found, key=lambda version: version.created, default=None)
