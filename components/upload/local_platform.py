"""What the components do on the local platform, and what they do not do and why."""

from __future__ import annotations

import logging

from kfp_llm_tuning.components.upload import mlflow_registry
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
    """Registers the model unless the gate has closed.

    Args:
        task: What to register, and in which registry.

    Returns:
        ``models/NAME@VERSION``; nothing where nothing was registered.

    Raises:
        UserError: As ``mlflow_registry.register``.
    """
    from kfp_llm_tuning.components.models.model_references import resolve

    if not task.upload_model:
        _logger.warning("The model is not registered. %s", task.reason)
        return Uploaded()
    resource_name = mlflow_registry.register(
        mlflow_registry.Upload(
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
    )
    _logger.info("Registered as %s. %s", resource_name, task.reason)
    return Uploaded(resource_name)


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
