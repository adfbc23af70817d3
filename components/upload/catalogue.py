"""Looks registered models up, and deletes them."""

from __future__ import annotations

import datetime
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.primary_metric import (
    PRIMARY_LABEL,
    PrimaryMetric,
    of_figures,
)
from kfp_llm_tuning.components.common.registry_location import local_artifacts, with_credentials
from kfp_llm_tuning.components.tracking.connection import connect, exclusive
from kfp_llm_tuning.components.tracking.tracked_run import TrackedRun
from kfp_llm_tuning.components.upload.labels import BASE_MODEL_LABEL
from kfp_llm_tuning.components.upload.names import DEPLOYED_ALIAS, ModelAddress
from kfp_llm_tuning.components.upload.run_content import EVALUATION_FILE, REPORTS_PATH

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel


@dataclass(frozen=True)
class Version:
    """One registered version and the run that made it.

    Attributes:
        name: The registered model.
        version: Its number.
        deployed: Whether it is the version that the endpoint answers with.
        created: When it was registered, ISO 8601 in UTC.
        base_model: The model reference as its label says it.
        labels: Every label.
        description: Markdown.
        location: Where the weights are.
        run_id: MLflow's run.
        parameters: Of the run.
        metrics: The last value of each metric of the run.
        primary_metric: Name of the metric that its evaluation judged by; empty where it had none.
    """

    name: str
    version: int
    deployed: bool
    created: str
    base_model: str
    labels: Mapping[str, str]
    description: str
    location: str
    run_id: str
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    primary_metric: str

    @property
    def primary(self) -> PrimaryMetric | None:
        """The metric that its evaluation judged by, with its values; None where it had none."""
        return of_figures(self.primary_metric, self.metrics)

    @property
    def resource_name(self) -> str:
        """``models/NAME@VERSION``."""
        return ModelAddress(self.name, str(self.version)).resource_name


def list_versions(registry_uri: str, labels: Mapping[str, str] | None = None) -> list[Version]:
    """Lists every version of every model.

    Args:
        registry_uri: The registry.
        labels: Only versions that have all of these.

    Returns:
        Sorted by name, newest version first.

    Raises:
        UserError: If there is no registry.
    """
    client = connect(registry_uri, create=False)
    versions = [_described(client, found) for found in _every_version(client)]
    wanted = (labels or {}).items()
    chosen = [version for version in versions if wanted <= version.labels.items()]
    return sorted(chosen, key=lambda version: (version.name, -version.version))


def find_version(registry_uri: str, address: ModelAddress) -> Version:
    """Finds one version.

    Args:
        registry_uri: The registry.
        address: Without version and alias it means the deployed version where there is one, else
            the newest.

    Returns:
        The version.

    Raises:
        UserError: If there is none; names close to the one asked for are told.
    """
    client = connect(registry_uri, create=False)
    model = _find_model(client, address.name)
    numbers = sorted(int(found.version) for found in _versions_of(client, address.name))
    if not numbers:
        raise _no_version(address, numbers)
    if address.version or address.alias:
        chosen = int(address.version or model.aliases.get(address.alias, 0))
    else:
        chosen = int(model.aliases.get(DEPLOYED_ALIAS, numbers[-1]))
    if chosen not in numbers:
        raise _no_version(address, numbers)
    return _described(client, client.get_model_version(address.name, str(chosen)))


def download(registry_uri: str, version: Version) -> Path:
    """Gives a folder of this machine with the weights.

    Args:
        registry_uri: The registry.
        version: From ``find_version``.

    Returns:
        The store's own folder where that is on this machine, else a copy.

    Raises:
        UserError: If the weights are gone.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    if folder := local_artifacts(version.location):
        if folder.is_dir():
            return folder
        raise _no_weights(version)
    try:
        tracking_uri = with_credentials(registry_uri)
        return Path(download_artifacts(artifact_uri=version.location, tracking_uri=tracking_uri))
    except (MlflowException, OSError) as error:
        raise _no_weights(version) from error


def read_evaluation(registry_uri: str, version: Version) -> dict[str, Any]:
    """Reads how a version was evaluated when it was tuned.

    Args:
        registry_uri: The registry.
        version: From ``find_version``.

    Returns:
        The content of its evaluation.json; empty where the registry keeps none.
    """
    from mlflow.exceptions import MlflowException

    client = connect(registry_uri, create=False)
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = client.download_artifacts(
                version.run_id, f"{REPORTS_PATH}/{EVALUATION_FILE}", folder
            )
            content: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
        except (MlflowException, OSError, ValueError):
            return {}
    return content


def delete(registry_uri: str, versions: list[Version]) -> None:
    """Deletes versions, their runs and, on this machine, their files.

    The version goes first, so that no version is ever without its weights. MLflow keeps the
    figures of a deleted run until ``mlflow gc``. A model that has no version left goes too.

    Args:
        registry_uri: The registry.
        versions: What to delete.
    """
    client = connect(registry_uri, create=False)
    with exclusive(registry_uri):
        for version in versions:
            client.delete_model_version(version.name, str(version.version))
            shared = client.search_model_versions(f"run_id = '{version.run_id}'")
            if version.run_id and not shared:
                TrackedRun(client, client.get_run(version.run_id)).discard()
        for name in sorted({version.name for version in versions}):
            if not _versions_of(client, name):
                client.delete_registered_model(name)


def _find_model(client: MlflowClient, name: str) -> RegisteredModel:
    from mlflow.exceptions import MlflowException
    from rapidfuzz import process

    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
    names = [model.name for model in _every_model(client)]
    close = [found for found, *_ in process.extract(name, names, limit=3, score_cutoff=60)]
    if close:
        fix = f"Did you mean {' or '.join(close)}?"
    else:
        fix = "`kfp-llm-tuning models list` lists the models."
    raise UserError(Problem(f"no registered model {name!r}.", where="MODEL", fix=fix))


def _every_model(client: MlflowClient) -> Iterator[RegisteredModel]:
    token = None
    while True:
        page = client.search_registered_models(page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _every_version(client: MlflowClient) -> Iterator[ModelVersion]:
    for model in _every_model(client):
        yield from _versions_of(client, model.name)


def _versions_of(client: MlflowClient, name: str) -> list[ModelVersion]:
    # Names of other tools' models may hold a quote; the search language knows both kinds.
    quote = '"' if "'" in name else "'"
    found: list[ModelVersion] = []
    token = None
    while True:
        page = client.search_model_versions(f"name = {quote}{name}{quote}", page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _described(client: MlflowClient, found: ModelVersion) -> Version:
    from mlflow.exceptions import MlflowException

    # A model that another tool registered may have no run, or one that was purged.
    try:
        data: Any = client.get_run(found.run_id).data if found.run_id else None
    except MlflowException:
        data = None
    # Only a single version's answer lists its aliases.
    aliases = client.get_model_version(found.name, found.version).aliases
    created = datetime.datetime.fromtimestamp(found.creation_timestamp / 1000, datetime.UTC)
    return Version(
        name=found.name,
        version=int(found.version),
        deployed=DEPLOYED_ALIAS in aliases,
        created=created.isoformat(timespec="seconds"),
        base_model=found.tags.get(BASE_MODEL_LABEL, ""),
        labels=dict(found.tags),
        description=found.description or "",
        location=client.get_model_version_download_uri(found.name, found.version),
        run_id=found.run_id or "",
        parameters=dict(data.params) if data else {},
        metrics=dict(data.metrics) if data else {},
        primary_metric=found.tags.get(PRIMARY_LABEL, ""),
    )


def _no_version(address: ModelAddress, numbers: list[int]) -> UserError:
    known = ", ".join(str(number) for number in numbers) or "none"
    return UserError(
        Problem(
            f"no version {address.version or address.alias or 'at all'} of {address.name}.",
            where="MODEL",
            allowed=f"versions {known}",
        )
    )


def _no_weights(version: Version) -> UserError:
    return UserError(
        Problem(f"the weights of {version.resource_name} are not at {version.location}.", "MODEL")
    )
