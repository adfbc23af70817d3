"""Registers a tuned model in MLflow: one run, one version, however often the upload is repeated.

An upload is a list of steps, and each does nothing where its work is already there. The run is the
one that was opened when the pipeline run began, else one of its own; the model in the store is
complete when its ``MLmodel`` is there, which is copied last; the version is created last of all. An
upload that was killed leaves no version, and the next one goes on from there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.manifest import MANIFEST_FILE, read_manifest, verify
from kfp_llm_tuning.components.models.saved_model import read_provenance
from kfp_llm_tuning.components.parameters.pipeline import TEXT
from kfp_llm_tuning.components.tracking.connection import (
    connect,
    exclusive,
    when_unlocked,
)
from kfp_llm_tuning.components.tracking.tracked_run import (
    FINISHED,
    TrackedRun,
    find_run,
    make_run,
    open_run,
)
from kfp_llm_tuning.components.upload import labels as label
from kfp_llm_tuning.components.upload import mlflow_model, run_content
from kfp_llm_tuning.components.upload.names import (
    DEPLOYED_ALIAS,
    ModelAddress,
    endpoint_name,
    parse_address,
    registered_name,
)
from kfp_llm_tuning.components.upload.run_figures import log_figures, store_reports

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

    from kfp_llm_tuning.components.models.model_reference import ModelReference

MODEL_PATH = "model"
_CONTENT_TAG = "kfp_llm_tuning.content_sha256"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Upload:
    """What is uploaded, and where to.

    Attributes:
        saved_model: Folder of the tuned model in Hugging Face layout.
        tensorboard_metrics: The tuner's folder of event files and history.jsonl.
        evaluation: Folder with evaluation.json and report.html; either may be missing.
        display_name: What the user called the model.
        reference: What the user asked to tune.
        run_id: The pipeline run; uploads with the same one are the same upload.
        registry_uri: The MLflow server or SQLite file.
        reports: Further reports: name in the store -> file.
        labels: The user's own labels of the run.
    """

    saved_model: Path
    tensorboard_metrics: Path
    evaluation: Path
    display_name: str
    reference: ModelReference
    run_id: str
    registry_uri: str
    reports: Mapping[str, Path] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


def register(upload: Upload) -> str:
    """Makes the run and the version, or what is missing of them.

    Args:
        upload: What to register.

    Returns:
        ``models/NAME@VERSION``.

    Raises:
        UserError: If the folder holds no whole model, a name is refused, or the registry cannot be
            opened.
    """
    name = registered_name(upload.display_name)
    if not upload.run_id or set(upload.run_id) & set("'\"\\"):
        raise UserError(
            Problem(f"{upload.run_id!r} names no run.", "run_id", "the id of the pipeline run")
        )
    verify(upload.saved_model)
    provenance = read_provenance(upload.saved_model)
    evaluation = run_content.read_evaluation(upload.evaluation)
    if name != upload.display_name:
        _logger.warning("The model %r is registered as %r.", upload.display_name, name)
    client = connect(upload.registry_uri)

    def registered() -> str:
        with exclusive(upload.registry_uri):
            return _registered(client, name, upload, provenance, evaluation)

    return when_unlocked(upload.registry_uri, registered)


def _registered(
    client: MlflowClient,
    name: str,
    upload: Upload,
    provenance: Mapping[str, Any],
    evaluation: Mapping[str, Any],
) -> str:
    run = find_run(client, upload.run_id)
    version = _find_version(client, name, run.id) if run else None
    if run is None or version is None:
        run = _joined_or_new(client, run, upload, _content_hash(provenance, evaluation))
        _log(run, upload, provenance, evaluation)
        _store_model(client, run.run, upload, provenance)
        version = _create_version(client, run.run, name, upload, provenance, evaluation)
    else:
        _logger.info("This run has registered its model before.")
        _store_model(client, run.run, upload, provenance)
    run.end(FINISHED)
    return ModelAddress(name, str(version.version)).resource_name


def track_refused(upload: Upload, reason: str) -> None:
    """Logs a run whose model the gate refused: its figures and reports, and no model.

    Args:
        upload: What would have been registered.
        reason: Why it is not.

    Raises:
        UserError: If the registry cannot be opened.
    """
    run = open_run(upload.registry_uri, upload.run_id, upload.display_name)
    evaluation = run_content.read_evaluation(upload.evaluation)

    def tracked() -> None:
        with exclusive(upload.registry_uri):
            _log(run, upload, read_provenance(upload.saved_model), evaluation)
            run.end(FINISHED, reason)

    when_unlocked(upload.registry_uri, tracked)


def _content_hash(*contents: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()


def _joined_or_new(
    client: MlflowClient, run: TrackedRun | None, upload: Upload, content: str
) -> TrackedRun:
    """Joins the run that was opened when the pipeline run began, or makes one."""
    asked: Mapping[str, str] = {}
    if run and run.run.data.tags.get(_CONTENT_TAG, content) != content:
        # The model was tuned again after an upload that broke off: what that one left is no part
        # of it. Figures that differ would be refused, and old weights be taken for these.
        asked = {
            parameter: value
            for parameter, value in run.run.data.params.items()
            if parameter in TEXT
        }
        if not client.search_model_versions(f"run_id = '{run.id}'"):
            run.discard()
        run = None
    if run is None:
        run = make_run(client, upload.run_id, upload.display_name)
        run.log_parameters(asked)
    run.begin()
    client.set_tag(run.id, _CONTENT_TAG, content)
    client.set_tag(run.id, label.BASE_MODEL_LABEL, upload.reference.label)
    return run


def _find_version(client: MlflowClient, name: str, run_id: str) -> ModelVersion | None:
    """Finds the version of a run: should a lost answer have made two of them, the older stays."""
    versions = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    versions = sorted(versions, key=lambda version: int(version.version))
    for double in versions[1:]:
        _logger.warning("Deleting version %s of %s: it is this run's second.", double.version, name)
        client.delete_model_version(name, str(double.version))
    return versions[0] if versions else None


def _log(
    run: TrackedRun,
    upload: Upload,
    provenance: Mapping[str, Any],
    evaluation: Mapping[str, Any],
) -> None:
    log_figures(run, upload.tensorboard_metrics, provenance, evaluation)
    reports = {
        "evaluation.html": upload.evaluation / "report.html",
        "evaluation.json": upload.evaluation / run_content.EVALUATION_FILE,
        "model_card.md": upload.saved_model / "README.md",
        **upload.reports,
    }
    store_reports(run, reports)


def _store_model(
    client: MlflowClient, run: Run, upload: Upload, provenance: Mapping[str, Any]
) -> None:
    run_id = run.info.run_id
    if is_complete(client, run_id):
        return
    client.log_artifacts(run_id, str(upload.saved_model), MODEL_PATH)
    metadata = {"model_reference": upload.reference.name, **provenance}
    with tempfile.TemporaryDirectory() as folder:
        mlflow_model.write_companions(upload.saved_model, Path(folder))
        client.log_artifacts(run_id, folder, MODEL_PATH)
        description = mlflow_model.write_description(Path(folder), run_id, MODEL_PATH, metadata)
        client.log_artifact(run_id, str(description), MODEL_PATH)


def is_complete(client: MlflowClient, run_id: str) -> bool:
    """Tells whether the whole model of a run is in the store, as far as sizes tell.

    Args:
        client: An open registry.
        run_id: MLflow's run.
    """
    sizes = dict(_stored_sizes(client, run_id, MODEL_PATH))
    if f"{MODEL_PATH}/{mlflow_model.DESCRIPTION_FILE}" not in sizes:
        return False
    if f"{MODEL_PATH}/{MANIFEST_FILE}" not in sizes:
        return True
    with tempfile.TemporaryDirectory() as folder:
        copy = client.download_artifacts(run_id, f"{MODEL_PATH}/{MANIFEST_FILE}", folder)
        try:
            listed = read_manifest(Path(copy).parent)
        except ValueError:
            return False
    return all(sizes.get(f"{MODEL_PATH}/{name}") == size for name, (size, _) in listed.items())


def _stored_sizes(client: MlflowClient, run_id: str, folder: str) -> Iterator[tuple[str, int]]:
    for file in client.list_artifacts(run_id, folder):
        if file.is_dir:
            yield from _stored_sizes(client, run_id, file.path)
        else:
            yield file.path, file.file_size


def _create_version(
    client: MlflowClient,
    run: Run,
    name: str,
    upload: Upload,
    provenance: Mapping[str, Any],
    evaluation: Mapping[str, Any],
) -> ModelVersion:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    metrics = run_content.final_metrics(provenance, evaluation)
    primary = run_content.primary_metric(evaluation)
    labels = {**upload.labels, **label.quality_labels(evaluation)}
    # One call for everything: a version is never seen without its labels.
    created = client.create_model_version(
        name,
        source=f"{run.info.artifact_uri}/{MODEL_PATH}",
        run_id=run.info.run_id,
        tags=label.version_labels(
            provenance, upload.reference, upload.display_name, upload.run_id, labels, primary
        ),
        description=label.version_description(provenance, upload.reference, metrics, primary),
    )
    # MLflow's client sends a request again of which no answer came.
    return _find_version(client, name, run.info.run_id) or created


def deploy(model_resource_name: str, registry_uri: str) -> str:
    """Makes a version the deployed one of its model; done twice, it is as done once.

    Args:
        model_resource_name: What ``register`` returned.
        registry_uri: The registry.

    Returns:
        ``models:/NAME@deployed``, which MLflow's own tools load and serve.

    Raises:
        UserError: If there is no such version, or its weights are gone.
    """
    from mlflow.exceptions import MlflowException

    address = parse_address(model_resource_name)
    client = connect(registry_uri, create=False)
    try:
        version = client.get_model_version(address.name, address.version)
    except MlflowException as error:
        raise UserError(
            Problem(f"no registered model {model_resource_name}.", "model_resource_name")
        ) from error
    if not is_complete(client, version.run_id):
        raise UserError(
            Problem(
                f"the weights of {model_resource_name} are not in the store, or not whole.",
                where="model_resource_name",
                fix="Register the model again.",
            )
        )
    when_unlocked(
        registry_uri,
        lambda: client.set_registered_model_alias(address.name, DEPLOYED_ALIAS, address.version),
    )
    return endpoint_name(address.name)
