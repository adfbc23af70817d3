"""Looks whether each image that the pods pull is in its registry."""

from __future__ import annotations

import base64
from collections.abc import Iterable

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.pipelines.kubeflow.planning.cluster import Cluster
from kfp_llm_tuning.pipelines.kubeflow.planning.image_registry import (
    ImageRegistries,
    Login,
    UnknownImage,
    logins_in,
)
from kfp_llm_tuning.pipelines.kubeflow.pod_needs import ClusterNeeds
from kfp_llm_tuning.pipelines.planning.checks import Check

_CONFIG_KEY = ".dockerconfigjson"


def check_images(cluster: Cluster | None, needs: ClusterNeeds) -> list[Check]:
    """Asks the registries, with the logins of the cluster's pull secrets.

    Args:
        cluster: Where the secrets are; None where no cluster can be asked.
        needs: What the pods ask for.

    Returns:
        What was found. An image that this machine may not see the cluster may pull all the same.
    """
    registries = ImageRegistries(_logins(cluster, needs.pull_secrets) if cluster else {})
    there: list[str] = []
    missing: list[Check] = []
    unknown: dict[str, list[str]] = {}
    for image in sorted(needs.images):
        try:
            if registries.has(image):
                there.append(image)
                continue
        except UnknownImage as error:
            unknown.setdefault(str(error), []).append(image)
            continue
        fix = f"make images IMAGE_REGISTRY={image.rpartition('/')[0]} PUSH=1"
        missing.append(Check("images", "problem", f"there is no {image}.", f"Push it: {fix}"))
    checks = [Check("images", "ok", f"{', '.join(there)}: there.")] if there else []
    return [
        *checks,
        *missing,
        *(
            Check("images", "unknown", f"{reason} Not looked at: {', '.join(images)}.")
            for reason, images in unknown.items()
        ),
    ]


def _logins(cluster: Cluster, pull_secrets: Iterable[str]) -> dict[str, Login]:
    logins: dict[str, Login] = {}
    for name in sorted(pull_secrets):
        read = cluster.core.read_namespaced_secret
        try:
            found = cluster.find(read, f"read the secret {name}", name, cluster.namespace)
        except UserError:
            # Told by the check of the secrets.
            continue
        content = (found.data or {}).get(_CONFIG_KEY, "") if found else ""
        logins |= logins_in(base64.b64decode(content).decode(errors="replace"))
    return logins
