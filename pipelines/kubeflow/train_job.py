"""How the nodes of the tuner's TrainJob are: what the options say of the tuner's pod, as its input.

kfp.kubernetes says it of a task's pod; of a TrainJob it is written here, in Kubernetes' words.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.models.implemented import tuner_image
from kfp_llm_tuning.pipelines.graphs.platform import Role
from kfp_llm_tuning.pipelines.kubeflow.resources import (
    SCRATCH,
    SHARED_MEMORY,
    kubernetes_resources,
    kubernetes_toleration,
    staging_variables,
)

if TYPE_CHECKING:
    from kfp_llm_tuning.pipelines.kubeflow.options import KubeflowOptions

# A proxy beside the tuner would neither let its processes find one another nor ever end.
_WITHOUT_PROXY = {"sidecar.istio.io/inject": "false"}


def train_job_input(options: KubeflowOptions) -> str:
    """Writes the input of the tuner's component.

    Args:
        options: What differs from cluster to cluster.

    Returns:
        The JSON of ``TrainJobSettings``; empty where the tuner makes no TrainJob.
    """
    if not options.train_job.enabled:
        return ""
    pod = options.tasks.tuner
    volumes, mounts = _volumes(options)
    identity = dataclasses.asdict(options.security_context)
    settings = {
        "image": tuner_image(options.tuner_accelerator),
        "runtime": options.train_job.runtime,
        "queue": options.train_job.queue,
        "resources": kubernetes_resources(pod, options),
        "env": _environment(options),
        "pod": _given(
            {
                "volumes": volumes,
                "nodeSelector": dict(pod.node_selector),
                "tolerations": [kubernetes_toleration(one) for one in pod.tolerations],
                "imagePullSecrets": [{"name": name} for name in options.image_pull_secrets],
            }
        ),
        "container": _given(
            {
                "volumeMounts": mounts,
                "securityContext": {
                    _CAMEL[name]: value for name, value in identity.items() if value is not None
                },
            }
        ),
        "labels": dict(options.pod_labels),
        "annotations": {**_WITHOUT_PROXY, **options.pod_annotations},
    }
    return json.dumps(settings, sort_keys=True)


_CAMEL = {
    "run_as_user": "runAsUser",
    "run_as_group": "runAsGroup",
    "run_as_non_root": "runAsNonRoot",
}


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def _environment(options: KubeflowOptions) -> list[dict[str, Any]]:
    variables = staging_variables(options.tasks.tuner, options)
    found: list[dict[str, Any]] = [
        {"name": name, "value": value} for name, value in variables.items()
    ]
    for secret in options.secret_environment:
        for key, name in secret.keys.items() if Role.TUNER in secret.tasks else ():
            source = {"name": secret.secret, "key": key, "optional": secret.optional}
            found.append({"name": name, "valueFrom": {"secretKeyRef": source}})
    return found


def _volumes(options: KubeflowOptions) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Writes the volumes of a node, and where its container has them."""
    volumes: list[dict[str, Any]] = []
    mounts: list[dict[str, Any]] = []

    def add(name: str, path: str, source: dict[str, Any], **mount: str) -> None:
        volumes.append({"name": name, **source})
        mounts.append({"name": name, "mountPath": path, **mount})

    if size := options.tasks.tuner.shared_memory:
        source = {"emptyDir": {"medium": "Memory", "sizeLimit": size}}
        add(SHARED_MEMORY, "/dev/shm", source)  # noqa: S108
    for claim in options.claims:
        if Role.TUNER in claim.tasks:
            below = {"subPath": claim.sub_path} if claim.sub_path else {}
            source = {"persistentVolumeClaim": {"claimName": claim.claim}}
            add(claim.claim, claim.mount_path, source, **below)
    for secret in options.secret_files:
        if Role.TUNER in secret.tasks:
            files = {"secretName": secret.secret, "optional": secret.optional}
            add(secret.secret, secret.mount_path, {"secret": files})
    if options.scratch.size:
        add(SCRATCH, options.scratch.mount_path, _scratch(options))
    return volumes, mounts


def _scratch(options: KubeflowOptions) -> dict[str, Any]:
    scratch = options.scratch
    claim: dict[str, Any] = {
        "accessModes": list(scratch.access_modes),
        "resources": {"requests": {"storage": scratch.size}},
    }
    if scratch.storage_class:
        claim["storageClassName"] = scratch.storage_class
    return {"ephemeral": {"volumeClaimTemplate": {"spec": claim}}}
