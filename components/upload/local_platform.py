"""What the components do on the local platform, and what they do not do and why."""

from __future__ import annotations

import logging

from kfp_llm_tuning.components.common.errors import error_sentence
from kfp_llm_tuning.components.models.model_references import resolve
from kfp_llm_tuning.components.models.saved_model import read_provenance
from kfp_llm_tuning.components.tracking.weights_and_biases import WANDB, report_figures
from kfp_llm_tuning.components.upload import mlflow_registry, run_content
from kfp_llm_tuning.components.upload.labels import parse_labels
from kfp_llm_tuning.components.upload.tasks import (
    CurvesTask,
    Deployed,
    DeployTask,
    Uploaded,
    UploadTask,
)

_logger = logging.getLogger(__name__)


def upload(task: UploadTask) -> Uploaded:
    """Registers the model unless the gate has closed; its figures are logged in any case.

    Args:
        task: What to register, and in which registry.

    Returns:
        ``models/NAME@VERSION``; nothing where nothing was registered.

    Raises:
        UserError: As ``mlflow_registry.register``.
    """
    upload = mlflow_registry.Upload(
        saved_model=task.saved_model,
        tensorboard_metrics=task.tensorboard_metrics,
        evaluation=task.evaluation,
        display_name=task.display_name,
        reference=resolve(task.model_reference),
        run_id=task.run_id,
        registry_uri=task.registry_uri,
        reports={"validation.html": task.validation_report},
        labels=parse_labels(task.labels),
    )
    _report(upload)
    if not task.upload_model:
        _logger.warning("The model is not registered. %s", task.reason)
        _track_refused(upload, task.reason)
        return Uploaded()
    resource_name = mlflow_registry.register(upload)
    _logger.info("Registered as %s. %s", resource_name, task.reason)
    return Uploaded(resource_name)


def _report(upload: mlflow_registry.Upload) -> None:
    """Adds the evaluation to the run in Weights & Biases, where the tuner reported to one."""
    provenance = read_provenance(upload.saved_model)
    if provenance.get("parameters", {}).get("report_to") == WANDB:
        evaluation = run_content.read_evaluation(upload.evaluation)
        figures = run_content.final_metrics(provenance, evaluation)
        report_figures(upload.run_id, upload.display_name, figures)


def _track_refused(upload: mlflow_registry.Upload, reason: str) -> None:
    try:
        mlflow_registry.track_refused(upload, reason)
    # Nothing is registered, so nothing of it may stop the run.
    except Exception as error:
        _logger.warning("MLflow does not show this run: %s", error_sentence(error))


def deploy(task: DeployTask) -> Deployed:
    """Deploys what was registered.

    Args:
        task: What to deploy, and in which registry.

    Returns:
        ``models:/NAME@deployed``; nothing where nothing was deployed.

    Raises:
        UserError: As ``mlflow_registry.deploy``.
    """
    if not task.model_resource_name:
        _logger.warning("%s is not deployed: no model was registered.", task.display_name)
        return Deployed()
    if not task.deploy_model:
        _logger.warning("%s is not deployed: deploy_model is false.", task.display_name)
        return Deployed()
    endpoint = mlflow_registry.deploy(task.model_resource_name, task.registry_uri)
    _logger.info("%s is deployed as %s.", task.model_resource_name, endpoint)
    return Deployed(endpoint)


def show_curves(task: CurvesTask) -> str:
    """Says that nothing was uploaded, and how to see the curves here.

    Args:
        task: Which curves, and the TensorBoard that was asked for.

    Returns:
        The folder of event files.
    """
    _logger.warning(
        "The curves of %s were not uploaded to the TensorBoard %s: this platform reaches no "
        "Google Cloud. To see them here: tensorboard --logdir %s",
        task.experiment_name,
        task.tensorboard,
        task.metrics_directory,
    )
    return str(task.metrics_directory)
