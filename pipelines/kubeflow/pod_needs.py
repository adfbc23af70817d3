"""What the pods of a compiled pipeline ask of a cluster, read out of its two documents."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kfp_llm_tuning.pipelines.templates.compiled_spec import constants, containers

_KSERVE = "deploy-to-kserve"
_TUNER = "large-language-model-tuner"


@dataclass(frozen=True)
class PodNeeds:
    """What the pods of one task ask of a node.

    Attributes:
        task: The task, as its executor is called.
        labels: Of the node.
        resources: Quantities by resource name, such as cpu and nvidia.com/gpu.
    """

    task: str
    labels: Mapping[str, str]
    resources: Mapping[str, str]

    @property
    def key(self) -> str:
        """What other tasks' needs are compared by."""
        return repr((sorted(self.labels.items()), sorted(self.resources.items())))


@dataclass(frozen=True)
class ClusterNeeds:
    """What all pods ask of the cluster.

    Attributes:
        secrets: The keys that are read of each secret.
        pull_secrets: Names of secrets for pulling images.
        claims: Names of claims that must be there.
        storage_classes: Names.
        images: What must be pulled.
        pods: Of each task.
        kserve: Whether KServe is to serve the model.
        runtime: The ClusterTrainingRuntime of the tuner's TrainJob; empty: it makes none.
        queue: The LocalQueue of Kueue that admits the TrainJob; empty for none.
        disks: Bytes that a task's pod puts on its node's disk, as far as they are reckoned.
    """

    secrets: Mapping[str, frozenset[str]] = field(default_factory=dict)
    pull_secrets: frozenset[str] = frozenset()
    claims: frozenset[str] = frozenset()
    storage_classes: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()
    pods: tuple[PodNeeds, ...] = ()
    kserve: bool = False
    runtime: str = ""
    queue: str = ""
    disks: Mapping[str, int] = field(default_factory=dict)


def cluster_needs(documents: Sequence[Mapping[str, Any]]) -> ClusterNeeds:
    """Reads what a pipeline asks of a cluster.

    Args:
        documents: The pipeline spec, and after it what Kubernetes is told besides.

    Returns:
        The needs; what comes as a parameter or from a task is left out.
    """
    spec = documents[0]
    platform = _kubernetes(documents)
    tasks = containers(spec)
    settings = list(platform.values())
    settled = dict(_settled(spec))
    node = _train_job(spec)
    pods = tuple(
        PodNeeds(
            task,
            platform.get(f"exec-{task}", {}).get("nodeSelector", {}).get("labels", {}),
            _resources(container, settled),
        )
        for task, container in tasks.items()
    )
    return ClusterNeeds(
        secrets=_secrets(settings),
        pull_secrets=frozenset(_names(settings, "imagePullSecret", "secretName")),
        claims=frozenset(_names(settings, "pvcMount", "constant")),
        storage_classes=frozenset(
            [*_names(settings, "genericEphemeralVolume", "storageClassName"), *_made_classes(spec)]
        ),
        images=frozenset([*_images(spec, tasks, settled), *([node["image"]] if node else [])]),
        pods=(*pods, *([_node_needs(node)] if node else [])),
        kserve=_KSERVE in tasks,
        runtime=node.get("runtime", ""),
        queue=node.get("queue", ""),
    )


def _train_job(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Reads how the nodes of the tuner's TrainJob are; empty where it makes none."""
    for task, name, value in constants(spec):
        if (task, name) == (_TUNER, "train_job") and value:
            settings: dict[str, Any] = json.loads(value)
            return settings
    return {}


def _node_needs(node: Mapping[str, Any]) -> PodNeeds:
    resources = node.get("resources", {})
    quantities = {**resources.get("requests", {}), **resources.get("limits", {})}
    needed = {name: value for name, value in quantities.items() if name not in ("cpu", "memory")}
    needed |= resources.get("requests", {})
    return PodNeeds(f"{_TUNER}'s TrainJob", node.get("pod", {}).get("nodeSelector", {}), needed)


def _kubernetes(documents: Sequence[Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
    if len(documents) == 1:
        return {}
    platforms: Mapping[str, Any] = documents[1].get("platforms", {})
    executors: Mapping[str, Mapping[str, Any]] = (
        platforms.get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})
    )
    return executors


def _images(
    spec: Mapping[str, Any], tasks: Mapping[str, Mapping[str, Any]], settled: Mapping[str, str]
) -> Iterator[str]:
    """Finds the images of the tasks, and that of the server which KServe is told to start."""
    for container in tasks.values():
        yield settled.get(container["image"], container["image"])
    for task, name, value in constants(spec):
        if (task, name) == (_KSERVE, "serving_image"):
            yield value


def _entries(settings: list[Mapping[str, Any]], kind: str) -> Iterator[Mapping[str, Any]]:
    for config in settings:
        yield from config.get(kind, [])


def _names(settings: list[Mapping[str, Any]], kind: str, field_name: str) -> Iterator[str]:
    for entry in _entries(settings, kind):
        if entry.get(field_name) and not entry.get("optional"):
            yield entry[field_name]


def _secrets(settings: list[Mapping[str, Any]]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for name in _names(settings, "secretAsVolume", "secretName"):
        found.setdefault(name, frozenset())
    for entry in _entries(settings, "secretAsEnv"):
        secret = str(entry.get("secretName", ""))
        if secret and not entry.get("optional"):
            keys = {mapping["secretKey"] for mapping in entry.get("keyToEnv", [])}
            found[secret] = found.get(secret, frozenset()) | keys
    return found


def _made_classes(spec: Mapping[str, Any]) -> Iterator[str]:
    """Names the storage classes of the claims that the pipeline makes."""
    return (value for _, name, value in constants(spec) if name == "storage_class_name" and value)


def _settled(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Finds what prediction-resources gives for predictions: what it is given under that name.

    Yields:
        The placeholder that stands in the resources of a task, and its value.
    """
    for component in (spec.get("root", {}), *spec.get("components", {}).values()):
        tasks = component.get("dag", {}).get("tasks", {})
        for task in tasks.values():
            for name, source in task.get("inputs", {}).get("parameters", {}).items():
                output = source.get("taskOutputParameter", {})
                producer = tasks.get(output.get("producerTask"), {}).get("inputs", {})
                given = producer.get("parameters", {}).get(output.get("outputParameterKey"), {})
                if (value := given.get("runtimeValue", {}).get("constant")) is not None:
                    # JSON has one kind of number.
                    text = f"{value:g}" if isinstance(value, float) else str(value)
                    yield f"{{{{$.inputs.parameters['{name}']}}}}", text


def _resources(container: Mapping[str, Any], settled: Mapping[str, str]) -> dict[str, str]:
    given = container.get("resources", {})
    needed = {
        "cpu": given.get("resourceCpuRequest", ""),
        "memory": given.get("resourceMemoryRequest", ""),
    }
    accelerator = given.get("accelerator", {})
    if kind := accelerator.get("resourceType") or accelerator.get("type"):
        needed[kind] = accelerator.get("resourceCount") or accelerator.get("count", "1")
    quantities = {name: settled.get(str(value), str(value)) for name, value in needed.items()}
    return {name: quantity for name, quantity in quantities.items() if quantity}
