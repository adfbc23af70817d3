"""The TrainJob of Kubeflow Trainer that tunes on several machines: one node is one machine.

Its image and command are ours; the runtime that it names, as a cluster has it, gives each node
torchrun's variables (https://www.kubeflow.org/docs/components/trainer).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from kfp_llm_tuning.components.common.documents import parse_json
from kfp_llm_tuning.components.common.errors import Problem, UserError

GROUP, VERSION, KIND, PLURAL = "trainer.kubeflow.org", "v1alpha1", "TrainJob", "trainjobs"
# Tells a job that asks for something else than the one of its name.
DIGEST = "kfp-llm-tuning/digest"
RUN_ID = "kfp-llm-tuning/run-id"
# What the runtimes for torch call their nodes, and the container in each.
_NODE = "node"
_QUEUE = "kueue.x-k8s.io/queue-name"
_MANAGER = "kfp-llm-tuning"
# The component input that the settings travel in.
_INPUT = "train_job"


@dataclass(frozen=True)
class TrainJobSettings:
    """What a cluster's options say of the nodes, in Kubernetes' words.

    Attributes:
        image: Of the tuner.
        runtime: The ClusterTrainingRuntime.
        queue: Kueue's LocalQueue; empty for none.
        resources: Requests and limits of a node.
        env: Environment variables of the tuner.
        pod: What a node's pod has besides, such as volumes and tolerations.
        container: What the tuner's container has besides, such as mounts.
        labels: Of the job and of its pods.
        annotations: Of its pods.
    """

    image: str
    runtime: str
    queue: str = ""
    resources: dict[str, dict[str, str]] = field(default_factory=dict)
    env: list[dict[str, Any]] = field(default_factory=list)
    pod: dict[str, Any] = field(default_factory=dict)
    container: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str) -> TrainJobSettings:
        """Reads what the pipeline was compiled with.

        Args:
            text: A JSON object.

        Raises:
            UserError: If it is something else.
        """
        try:
            return msgspec.convert(parse_json(text, _INPUT), cls)
        except msgspec.ValidationError as error:
            raise UserError(Problem(f"{error}.", _INPUT, "what compile writes")) from error


def train_job(
    settings: TrainJobSettings,
    command: Sequence[str],
    machines: int,
    run_id: str,
    key: str,
    variables: Mapping[str, str],
) -> dict[str, Any]:
    """Writes a TrainJob.

    Args:
        settings: How its nodes are.
        command: What runs on each.
        machines: How many.
        run_id: The pipeline run.
        key: What tells it from the others of the run; the same for every try.
        variables: Environment variables of the tuner beside those of the settings.

    Returns:
        The object, as the API takes it.

    Raises:
        pydantic.ValidationError: If the settings are none that Kubernetes knows.
    """
    from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob

    env = [*settings.env, *({"name": name, "value": value} for name, value in variables.items())]
    spec = {
        "runtimeRef": {"name": settings.runtime},
        "trainer": {
            "image": settings.image,
            "command": list(command),
            "numNodes": machines,
            "resourcesPerNode": settings.resources,
            "env": env,
        },
        "runtimePatches": [{"manager": _MANAGER, "trainingRuntimeSpec": _patch(settings)}],
    }
    labels = {**settings.labels, **({_QUEUE: settings.queue} if settings.queue else {})}
    digest = hashlib.sha256(json.dumps([spec, labels], sort_keys=True).encode()).hexdigest()
    body = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {
            "name": f"tuner-{hashlib.sha256(f'{run_id} {key}'.encode()).hexdigest()[:20]}",
            "labels": labels,
            "annotations": {DIGEST: digest, RUN_ID: run_id},
        },
        "spec": spec,
    }
    written: dict[str, Any] = TrainerV1alpha1TrainJob.from_dict(body).to_dict()
    return written


def _patch(settings: TrainJobSettings) -> dict[str, Any]:
    """Writes what the settings change in the runtime's template of a node."""
    pod = {**settings.pod, "containers": [{"name": _NODE, **settings.container}]}
    template = {
        "metadata": {"labels": settings.labels, "annotations": settings.annotations},
        "spec": pod,
    }
    node = {"name": _NODE, "template": {"spec": {"template": template}}}
    return {"template": {"spec": {"replicatedJobs": [node]}}}
