"""Serves a registered model with KServe: one service a model, which is asked once."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import requests

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.upload.kserve_service import (
    GROUP,
    PLURAL,
    VERSION,
    KserveServing,
    health_route,
    inference_service,
    storage_uri,
)
from kfp_llm_tuning.components.upload.prediction_answers import error_text, prediction_text
from kfp_llm_tuning.components.upload.prediction_instances import PARAMETERS, instance_for

# Seconds: the first answer of a model may take long.
_ANSWER_TIMEOUT = 300.0

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class KserveTask:
    """One deploy-to-kserve.

    Attributes:
        model_resource_name: Output of the upload; empty where nothing was registered.
        saved_model_uri: Where the pipeline keeps the model.
        display_name: What the user called the model.
        model_reference: What the user asked to tune.
        run_id: The pipeline run.
        deploy_model: Whether to deploy.
        serving: How the model is served.
    """

    model_resource_name: str
    saved_model_uri: str
    display_name: str
    model_reference: str
    run_id: str
    deploy_model: bool
    serving: KserveServing


@dataclass(frozen=True)
class KserveDeployment:
    """What a deployment made.

    Attributes:
        inference_service: NAMESPACE/NAME; empty where nothing was deployed.
        endpoint_url: Address of the service.
    """

    inference_service: str = ""
    endpoint_url: str = ""


def deploy(task: KserveTask) -> KserveDeployment:
    """Makes the model's service, or has it go over to this version; waits until that answers.

    Args:
        task: What to serve, and how.

    Returns:
        The service; nothing where there is nothing to deploy.

    Raises:
        UserError: If the cluster refuses, or if the model does not answer in time.
    """
    from kfp_llm_tuning.components.common.kubernetes_objects import Kind, KubernetesObjects
    from kfp_llm_tuning.components.models.model_references import resolve
    from kfp_llm_tuning.components.upload.kserve_readiness import ReadinessWait

    if not task.model_resource_name or not task.deploy_model:
        why = "deploy_model is false" if task.model_resource_name else "no model was registered"
        _logger.warning("%s is not deployed: %s.", task.display_name, why)
        return KserveDeployment()
    kind = resolve(task.model_reference).kind
    model_uri = storage_uri(task.saved_model_uri)
    body = inference_service(
        task.serving, task.display_name, task.model_resource_name, model_uri, task.run_id
    )
    services = KubernetesObjects(Kind(GROUP, VERSION, PLURAL, "KServe"), task.serving.namespace)
    name = body["metadata"]["name"]
    services.apply(body)
    _logger.info("%s/%s serves %s from now on.", services.namespace, name, task.model_resource_name)
    waiting = ReadinessWait(services, name, task.serving.ready_timeout_seconds)
    address = waiting.for_answer(health_route(task.run_id, model_uri))
    if address:
        _request_prediction(address, kind, f"{services.namespace}/{name}")
    return KserveDeployment(f"{services.namespace}/{name}", waiting.url)


def _request_prediction(address: str, kind: str, service: str) -> None:
    """Asks the model once, and logs how long it took to answer."""
    begun = time.monotonic()
    request = {"instances": [instance_for(kind)], "parameters": PARAMETERS}
    try:
        answer = requests.post(f"{address}/predict", json=request, timeout=_ANSWER_TIMEOUT)
        answer.raise_for_status()
        predictions = answer.json()["predictions"]
    except requests.HTTPError as error:
        text = error_text(error.response.text)
        raise UserError(
            _no_prediction(service, f"HTTP {error.response.status_code}: {text}")
        ) from error
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        raise UserError(_no_prediction(service, f"{type(error).__name__}: {error}")) from error
    if prediction_text(predictions) is None:
        raise UserError(_no_prediction(service, error_text(str(predictions))))
    _logger.info("%s answered a prediction in %.2f seconds.", service, time.monotonic() - begun)


def _no_prediction(service: str, what: str) -> Problem:
    return Problem(f"could not get a prediction from {service}: {what}", "KServe")
