"""What the components do on the local platform, and what they do not do and why."""

from __future__ import annotations

import logging
from pathlib import Path

from kfp_llm_tuning.components.upload import mlflow_registry
from kfp_llm_tuning.components.upload.labels import parse_labels

_logger = logging.getLogger(__name__)


def upload(
    saved_model: str,
    tensorboard_metrics: str,
    evaluation: str,
    validation_report: str,
    display_name: str,
    model_reference: str,
    run_id: str,
    registry_uri: str,
    upload_model: bool,
    reason: str,
    labels: str,
) -> str:
    """Registers the model unless the gate has closed.

    Args:
        saved_model: Folder of the tuned model.
        tensorboard_metrics: Folder of the tuner's metrics.
        evaluation: Folder of the evaluation.
        validation_report: The report of validate-dataset.
        display_name: What the user called the model.
        model_reference: What the user asked to tune.
        run_id: The pipeline run.
        registry_uri: The registry.
        upload_model: Whether to register.
        reason: Why, or why not.
        labels: JSON object of the user's labels.

    Returns:
        ``models/NAME@VERSION``; empty where nothing was registered.

    Raises:
        UserError: As ``mlflow_registry.register``.
    """
    from kfp_llm_tuning.components.tuning.model_references import resolve

    if not upload_model:
        _logger.warning("The model is not registered. %s", reason)
        return ""
    resource_name = mlflow_registry.register(
        mlflow_registry.Upload(
            saved_model=Path(saved_model),
            tensorboard_metrics=Path(tensorboard_metrics),
            evaluation=Path(evaluation),
            display_name=display_name,
            reference=resolve(model_reference),
            run_id=run_id,
            registry_uri=registry_uri,
            reports={"validation.html": Path(validation_report)},
            labels=parse_labels(labels),
        )
    )
    _logger.info("Registered as %s. %s", resource_name, reason)
    return resource_name


def deploy(
    model_resource_name: str, display_name: str, registry_uri: str, deploy_model: bool
) -> str:
    """Deploys what was registered.

    Args:
        model_resource_name: Empty where nothing was registered.
        display_name: Name of the endpoint, for the log.
        registry_uri: The registry.
        deploy_model: Whether to deploy.

    Returns:
        ``models:/NAME@deployed``; empty where nothing was deployed.

    Raises:
        UserError: As ``mlflow_registry.deploy``.
    """
    if not model_resource_name:
        _logger.warning("%s is not deployed: no model was registered.", display_name)
        return ""
    if not deploy_model:
        _logger.warning("%s is not deployed: deploy_model is false.", display_name)
        return ""
    endpoint = mlflow_registry.deploy(model_resource_name, registry_uri)
    _logger.info("%s is deployed as %s.", model_resource_name, endpoint)
    return endpoint


def show_tensorboard(tensorboard: str, experiment_name: str, metrics_directory: str) -> str:
    """Says that nothing was uploaded, and how to see the curves here.

    Args:
        tensorboard: Resource name of the TensorBoard that was asked for.
        experiment_name: Name of the experiment there.
        metrics_directory: The tuner's folder of event files.

    Returns:
        The folder.
    """
    _logger.warning(
        "The curves of %s were not uploaded to %s: the local platform reaches no Google Cloud. "
        "To see them here: tensorboard --logdir %s",
        experiment_name,
        tensorboard,
        metrics_directory,
    )
    return metrics_directory
