"""Looks tuned models up in the Vertex AI Model Registry, and deletes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING

from google.api_core import exceptions
from google.api_core.operation import Operation

from kfp_llm_tuning.components.common.errors import Problem, UserError, raise_all
from kfp_llm_tuning.components.common.vertex import READ, Vertex, wait
from kfp_llm_tuning.components.common.vertex_errors import explained
from kfp_llm_tuning.components.upload.catalogue import Version
from kfp_llm_tuning.components.upload.labels import BASE_MODEL_LABEL, RUN_LABEL
from kfp_llm_tuning.components.upload.vertex_evaluations import read_evaluation
from kfp_llm_tuning.pipelines.vertex.filters import quoted

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1 import ModelServiceClient
    from google.cloud.aiplatform_v1.types import Model

# Endpoints by id and version of the model that is deployed to them.
_Deployments = Mapping[tuple[str, str], Iterable[str]]


@dataclass(frozen=True)
class VertexVersion(Version):
    """One version in the Model Registry.

    Attributes:
        model: Full resource name of its model.
        endpoints: Resource names of the endpoints that it is deployed to.
    """

    model: str
    endpoints: tuple[str, ...]

    @property
    def resource_name(self) -> str:
        """``projects/../models/ID@VERSION``, as the pipeline's output says it."""
        return f"{self.model}@{self.version}"


def list_versions(vertex: Vertex, labels: Mapping[str, str] | None = None) -> list[VertexVersion]:
    """Lists every version of every tuned model: those with the published label.

    Args:
        vertex: Where.
        labels: Only versions that have all of these.

    Returns:
        Sorted by model, newest version first.

    Raises:
        UserError: If Vertex AI refuses.
    """
    client = _client(vertex)
    request = {"parent": vertex.parent, "filter": f"labels.{BASE_MODEL_LABEL}:*"}
    with explained("list the models"):
        models = list(client.list_models(request=request, **READ))
        deployments = _deployments(vertex)
        versions = [
            found for model in models for found in _versions_of(client, model.name, deployments)
        ]
    wanted = (labels or {}).items()
    chosen = [version for version in versions if wanted <= version.labels.items()]
    return sorted(chosen, key=lambda version: (version.model, -version.version))


def find_versions(vertex: Vertex, address: str) -> list[VertexVersion]:
    """Finds what an address points at.

    Args:
        vertex: Where.
        address: Display name, id or full resource name of a model, with ``@VERSION`` or ``@ALIAS``
            behind it where one version is meant.

    Returns:
        That version, or every version of the model, the newest first.

    Raises:
        UserError: If there is no such version, or if the name is that of several models.
    """
    name, _, suffix = address.partition("@")
    client = _client(vertex)
    with explained(f"read the model {address}", "MODEL"):
        model = _find_model(client, vertex, name)
        versions = _versions_of(client, model, _deployments(vertex))
        if not suffix:
            return versions
        number = client.get_model(name=f"{model}@{suffix}", **READ).version_id
    return [version for version in versions if str(version.version) == number]


def delete(vertex: Vertex, versions: Sequence[VertexVersion]) -> None:
    """Deletes versions; a model all of whose versions go, goes as a whole.

    The weights stay in their bucket.

    Args:
        vertex: Where.
        versions: What to delete, of one model.

    Raises:
        UserError: If one is deployed, or if Vertex AI refuses.
    """
    raise_all([_still_deployed(version) for version in versions if version.endpoints])
    client, model = _client(vertex), versions[0].model
    with explained(f"read the model {model}"):
        everything = len(_versions_of(client, model, {})) == len(versions)
    if everything:
        _delete(partial(client.delete_model, name=model, **READ), model)
        return
    for version in versions:
        name = version.resource_name
        _delete(partial(client.delete_model_version, name=name, **READ), name)


def _client(vertex: Vertex) -> ModelServiceClient:
    from google.cloud.aiplatform_v1 import ModelServiceClient

    return vertex.client(ModelServiceClient)


def _find_model(client: ModelServiceClient, vertex: Vertex, name: str) -> str:
    if name.startswith("projects/"):
        return name
    short = name.removeprefix("models/")
    for field in ("model", "display_name"):
        request = {"parent": vertex.parent, "filter": f"{field}={quoted(short)}"}
        found = [model.name.partition("@")[0] for model in client.list_models(request, **READ)]
        if len(found) > 1:
            what = f"{len(found)} models are called {short!r}."
            ids = ", ".join(one.rpartition("/")[2] for one in found)
            raise UserError(Problem(what, "MODEL", fix=f"Give one of the ids {ids}."))
        if found:
            return found[0]
    fix = "`kfp-llm-tuning models list` lists the models."
    raise UserError(Problem(f"no registered model {short!r} in {vertex.parent}.", "MODEL", fix=fix))


def _deployments(vertex: Vertex) -> _Deployments:
    """Asks the endpoints what is deployed: lists of versions do not say it of every version."""
    from google.cloud.aiplatform_v1 import EndpointServiceClient

    deployments: dict[tuple[str, str], set[str]] = {}
    client = vertex.client(EndpointServiceClient)
    for endpoint in client.list_endpoints(parent=vertex.parent, **READ):
        for deployed in endpoint.deployed_models:
            # A name may have the project's number where another has its id.
            model = deployed.model.partition("@")[0].rpartition("/")[2]
            deployments.setdefault((model, deployed.model_version_id), set()).add(endpoint.name)
    return deployments


def _versions_of(
    client: ModelServiceClient, model: str, deployments: _Deployments
) -> list[VertexVersion]:
    name = model.partition("@")[0]
    found = []
    for version in client.list_model_versions(name=name, **READ):
        endpoints = deployments.get((name.rpartition("/")[2], version.version_id), ())
        metrics, primary = read_evaluation(client, f"{name}@{version.version_id}")
        found.append(_described(version, endpoints, metrics, primary))
    return sorted(found, key=lambda version: -version.version)


def _described(
    model: Model, endpoints: Iterable[str], metrics: Mapping[str, float], primary: str
) -> VertexVersion:
    labels = dict(model.labels)
    created = model.version_create_time or model.create_time
    deployed_to = tuple(sorted(endpoints))
    return VertexVersion(
        name=model.display_name,
        version=int(model.version_id or 1),
        deployed=bool(deployed_to),
        created=created.astimezone(UTC).isoformat(timespec="seconds") if created else "",
        base_model=labels.get(BASE_MODEL_LABEL, ""),
        labels=labels,
        description=model.version_description or model.description,
        location=model.artifact_uri,
        run_id=labels.get(RUN_LABEL, ""),
        parameters={},
        metrics=metrics,
        primary_metric=primary,
        model=model.name.partition("@")[0],
        endpoints=deployed_to,
    )


def _still_deployed(version: VertexVersion) -> Problem:
    return Problem(
        f"{version.resource_name} is deployed to {', '.join(version.endpoints)}.",
        "MODEL",
        fix="Undeploy it first: gcloud ai endpoints undeploy-model --help",
    )


def _delete(start: Callable[[], Operation], name: str) -> None:
    doing = f"delete {name}"
    with explained(doing):
        try:
            operation = start()
        except exceptions.NotFound:
            return
    wait(operation, doing)
