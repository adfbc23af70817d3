"""The InferenceService that serves a model, as KServe's API has it. Nothing is called here."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.storage import is_local

GROUP, VERSION, KIND, PLURAL = (
    "serving.kserve.io",
    "v1beta1",
    "InferenceService",
    "inferenceservices",
)
MANAGER = "kfp-llm-tuning"
# Annotations that say what is served.
DISPLAY_NAME = f"{MANAGER}/display-name"
MODEL = f"{MANAGER}/model"
RUN = f"{MANAGER}/run"
# KServe makes host names of it: NAME-predictor-NAMESPACE has 63 characters at most.
_NAME_LENGTH = 40
_LEGAL_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
# Where KServe puts the model that STORAGE_URI names, and what it calls a server of one's own.
_MODEL_FOLDER = "/mnt/models"
_CONTAINER = "kserve-container"
_PORT = 8080
# Knative gives a revision up after ten minutes, which large models take to load.
_PATIENCE = "serving.knative.dev/progress-deadline"


@dataclass(frozen=True)
class KserveServing:
    """How a model is served; what the attributes mean stands at deploy-to-kserve."""

    image: str
    namespace: str = ""
    service_account: str = ""
    resources: Mapping[str, Any] = field(default_factory=dict)
    shared_memory: str = ""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: Sequence[Any] = ()
    image_pull_secrets: Sequence[str] = ()
    min_replicas: int = 1
    max_replicas: int = 1
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_timeout_seconds: int = 1800


def service_name(display_name: str) -> str:
    """Names the service of a model.

    Args:
        display_name: What the user called the model.

    Returns:
        The name itself where it is legal, else what is legal of it and a digest: models of
        different names have different services.
    """
    if len(display_name) <= _NAME_LENGTH and _LEGAL_NAME.fullmatch(display_name):
        return display_name
    digest = hashlib.sha256(display_name.encode()).hexdigest()[:8]
    legal = re.sub(r"[^a-z0-9]+", "-", display_name.lower()).lstrip("-0123456789")
    return f"{legal[: _NAME_LENGTH - 9].rstrip('-') or 'model'}-{digest}"


def storage_uri(uri: str) -> str:
    """Writes the place of an artifact as KServe reads it.

    Args:
        uri: As KFP names it.

    Returns:
        The URI; minio:// is s3:// to KServe, and KFP's settings behind a ``?`` are none of its own.

    Raises:
        UserError: If it is a path, which KServe's pods do not see.
    """
    if is_local(uri):
        raise UserError(
            Problem(
                f"KServe cannot read {uri!r}.", "saved_model_uri", "gs://, s3://, pvc:// or hf://"
            )
        )
    scheme, _, place = uri.partition("://")
    return f"{'s3' if scheme == 'minio' else scheme}://{place.partition('?')[0]}"


def health_route(run_id: str, model_uri: str) -> str:
    """Names the route at which a server says that it is healthy.

    Args:
        run_id: The pipeline run.
        model_uri: The model.

    Returns:
        A path of this version's own: while a service goes over from one version to the next, it
        tells whose server answers.
    """
    digest = hashlib.sha256(f"{run_id} {model_uri}".encode()).hexdigest()[:12]
    return f"/health/{digest}"


def inference_service(
    serving: KserveServing, display_name: str, model_resource_name: str, model_uri: str, run_id: str
) -> dict[str, Any]:
    """Describes the service of a model.

    Args:
        serving: How it is served.
        display_name: What the user called the model.
        model_resource_name: The registered version.
        model_uri: Where KServe reads it.
        run_id: The pipeline run.

    Returns:
        The body of the API's object.
    """
    name = service_name(display_name)
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {
            "name": name,
            "labels": {**serving.labels, "app.kubernetes.io/managed-by": MANAGER},
            "annotations": {
                _PATIENCE: f"{serving.ready_timeout_seconds}s",
                **serving.annotations,
                DISPLAY_NAME: display_name,
                MODEL: model_resource_name,
                RUN: run_id,
            },
        },
        "spec": {
            "predictor": _predictor(serving, name, model_uri, health_route(run_id, model_uri))
        },
    }


def _predictor(serving: KserveServing, name: str, model_uri: str, route: str) -> dict[str, Any]:
    variables = {
        "KFP_LLM_TUNING_SERVING_MODEL_NAME": name,
        **serving.environment,
        "STORAGE_URI": model_uri,
        "AIP_STORAGE_URI": _MODEL_FOLDER,
        "AIP_HTTP_PORT": str(_PORT),
        "AIP_HEALTH_ROUTE": route,
        "AIP_PREDICT_ROUTE": "/predict",
    }
    container = {
        "name": _CONTAINER,
        "image": serving.image,
        "env": [{"name": key, "value": value} for key, value in variables.items()],
        "ports": [{"containerPort": _PORT, "protocol": "TCP"}],
        "readinessProbe": {"httpGet": {"path": route, "port": _PORT}, "periodSeconds": 10},
        "resources": dict(serving.resources),
    }
    predictor: dict[str, Any] = {
        "minReplicas": serving.min_replicas,
        "maxReplicas": serving.max_replicas,
        "serviceAccountName": serving.service_account,
        "nodeSelector": dict(serving.node_selector),
        "tolerations": list(serving.tolerations),
        "imagePullSecrets": [{"name": secret} for secret in serving.image_pull_secrets],
        "containers": [container],
    }
    if serving.shared_memory:
        memory = {"medium": "Memory", "sizeLimit": serving.shared_memory}
        predictor["volumes"] = [{"name": "shm", "emptyDir": memory}]
        container["volumeMounts"] = [{"name": "shm", "mountPath": "/dev/shm"}]
    return {key: value for key, value in predictor.items() if value not in ("", [], {})}
