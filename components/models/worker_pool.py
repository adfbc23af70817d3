"""The machines of a Vertex AI CustomJob."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kfp_llm_tuning.components.models.machine_specs import MachineSpec

# python3 -m MODULE
_MODULE_WORDS = 3


def worker_pools(
    machine: MachineSpec, image: str, command: Sequence[str], project: str, count: int = 1
) -> list[dict[str, Any]]:
    """Describes the machines of a CustomJob, which are all alike.

    The first pool is for one replica, the primary, and those beside it are in the second
    (https://cloud.google.com/vertex-ai/docs/training/distributed-training).

    Args:
        machine: The machine.
        image: The container's.
        command: What runs in it, begun with the three words that run a Python module.
        project: Project that the container's Google clients work in; empty for the job's own.
        count: How many.

    Returns:
        Worker pools, with empty values for what Vertex AI chooses.
    """
    sizes = (1, count - 1) if count > 1 else (1,)
    return [_worker_pool(machine, image, command, project, size) for size in sizes]


def _worker_pool(
    machine: MachineSpec, image: str, command: Sequence[str], project: str, replicas: int
) -> dict[str, Any]:
    variables = {"GOOGLE_CLOUD_PROJECT": project}
    return {
        "replica_count": replicas,
        "machine_spec": machine_spec(machine),
        "disk_spec": {
            "boot_disk_type": machine.disk_type,
            "boot_disk_size_gb": machine.disk_size_gb,
        },
        "container_spec": {
            "image_uri": image,
            "command": list(command[:_MODULE_WORDS]),
            "args": list(command[_MODULE_WORDS:]),
            "env": [{"name": name, "value": text} for name, text in variables.items() if text],
        },
    }


def machine_spec(machine: MachineSpec) -> dict[str, Any]:
    """Describes a machine as Vertex AI does, which takes a count only beside a type.

    Args:
        machine: The machine. Newer TPUs are told by machine type and topology alone
            (https://cloud.google.com/vertex-ai/docs/training/training-with-tpu-vm).

    Returns:
        A MachineSpec, with empty values for what the machine type says.
    """
    return {
        "machine_type": machine.machine_type,
        "accelerator_type": machine.accelerator_type,
        "accelerator_count": machine.accelerator_count if machine.accelerator_type else 0,
        "tpu_topology": machine.tpu_topology,
    }


def without_empty(value: Any) -> Any:
    """Drops keys without a value, and those that hold nothing after that.

    Args:
        value: A job, or a part of one.

    Returns:
        A copy of what is left.
    """
    if isinstance(value, list):
        return [without_empty(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: without_empty(item) for key, item in value.items()}
    return {key: item for key, item in kept.items() if item}
