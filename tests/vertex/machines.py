"""The machine types of Vertex AI, and the accelerators that each takes.

From its documentation: "Configure compute resources for custom training" and "... for prediction".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from google.cloud.aiplatform_v1.types import AcceleratorType

from tests.vertex import errors

# Processors alone, by family and size.
_PLAIN: dict[str, tuple[int, ...]] = {
    "e2-standard": (2, 4, 8, 16, 32),
    "e2-highmem": (2, 4, 8, 16),
    "e2-highcpu": (2, 4, 8, 16, 32),
    "n2-standard": (2, 4, 8, 16, 32, 48, 64, 80),
    "n2-highmem": (2, 4, 8, 16, 32, 48, 64, 80),
    "n2-highcpu": (2, 4, 8, 16, 32, 48, 64, 80),
    "c2-standard": (4, 8, 16, 30, 60),
}
# Processors, and GPUs for those who ask.
_WITH_GPUS: dict[str, tuple[int, ...]] = {
    "n1-standard": (2, 4, 8, 16, 32, 64, 96),
    "n1-highmem": (2, 4, 8, 16, 32, 64, 96),
    "n1-highcpu": (2, 4, 8, 16, 32, 64, 96),
}
_N1_GPUS: dict[str, tuple[int, ...]] = {
    "NVIDIA_TESLA_P4": (1, 2, 4),
    "NVIDIA_TESLA_P100": (1, 2, 4),
    "NVIDIA_TESLA_T4": (1, 2, 4),
    "NVIDIA_TESLA_V100": (1, 2, 4, 8),
}
# GPUs that come with the machine, all of which must be asked for.
_GPUS: dict[str, tuple[str, int]] = {
    **{f"g2-standard-{size}": ("NVIDIA_L4", 1) for size in (4, 8, 12, 16, 32)},
    "g2-standard-24": ("NVIDIA_L4", 2),
    "g2-standard-48": ("NVIDIA_L4", 4),
    "g2-standard-96": ("NVIDIA_L4", 8),
    **{f"a2-highgpu-{count}g": ("NVIDIA_TESLA_A100", count) for count in (1, 2, 4, 8)},
    "a2-megagpu-16g": ("NVIDIA_TESLA_A100", 16),
    **{f"a2-ultragpu-{count}g": ("NVIDIA_A100_80GB", count) for count in (1, 2, 4, 8)},
    **{f"a3-highgpu-{count}g": ("NVIDIA_H100_80GB", count) for count in (1, 2, 4, 8)},
    "a3-megagpu-8g": ("NVIDIA_H100_MEGA_80GB", 8),
    "a3-ultragpu-8g": ("NVIDIA_H200_141GB", 8),
    "a4-highgpu-8g": ("NVIDIA_B200", 8),
}
# What the quotas of each GPU are called, behind custom_model_training_ and custom_model_serving_.
_GPU_QUOTAS = {
    "NVIDIA_TESLA_P4": "nvidia_p4_gpus",
    "NVIDIA_TESLA_P100": "nvidia_p100_gpus",
    "NVIDIA_TESLA_T4": "nvidia_t4_gpus",
    "NVIDIA_TESLA_V100": "nvidia_v100_gpus",
    "NVIDIA_L4": "nvidia_l4_gpus",
    "NVIDIA_TESLA_A100": "nvidia_a100_gpus",
    "NVIDIA_A100_80GB": "nvidia_a100_80gb_gpus",
    "NVIDIA_H100_80GB": "nvidia_h100_gpus",
    "NVIDIA_H100_MEGA_80GB": "nvidia_h100_mega_gpus",
    "NVIDIA_H200_141GB": "nvidia_h200_gpus",
    "NVIDIA_B200": "nvidia_b200_gpus",
}
_PURPOSES = ("training", "training_preemptible", "serving")
_TPU_CORES: dict[str, tuple[int, ...]] = {
    "TPU_V2": (8, 32, 128, 256, 512),
    "TPU_V3": (8, 32, 64, 128, 256, 512, 1024, 2048),
}
# TPUs that are asked for by their topology.
_TPU_SLICES = re.compile(r"(ct5lp-hightpu|ct6e-standard)-[148]t")
_TOPOLOGY = re.compile(r"\d+x\d+(x\d+)?")


def check_machine(where: str, machine: Any) -> None:
    """Refuse a machine that is not on offer.

    Args:
        where: The field, such as job_spec.worker_pool_specs[0].machine_spec.
        machine: The MachineSpec.

    Raises:
        ApiError: there is no such machine type, or the accelerators do not fit it (400).
    """
    kind = machine.machine_type
    if bool(machine.accelerator_type) != bool(machine.accelerator_count):
        raise errors.field_error(
            f"{where}.accelerator_type",
            "Both `accelerator_type` and `accelerator_count` should be specified or none.",
        )
    accelerator = accelerator_name(machine)
    fitting = _accelerators(kind)
    if fitting is None:
        raise errors.field_error(
            f"{where}.machine_type", f'Machine type "{kind}" is not supported.'
        )
    if _TPU_SLICES.fullmatch(kind):
        if not _TOPOLOGY.fullmatch(machine.tpu_topology):
            raise errors.field_error(f"{where}.tpu_topology", f"{kind} needs a TPU topology.")
        return
    if accelerator not in fitting:
        what = f'Accelerator "{accelerator}"' if accelerator else "No accelerator"
        raise errors.field_error(
            f"{where}.accelerator_type", f'{what} is not supported for machine type "{kind}".'
        )
    if machine.accelerator_count not in fitting[accelerator]:
        raise errors.field_error(
            f"{where}.accelerator_count",
            f'{machine.accelerator_count} "{accelerator}" are not supported for machine type '
            f'"{kind}".',
        )


def is_on_offer(machine_type: str) -> bool:
    """Whether there is a machine type."""
    return _accelerators(machine_type) is not None


def accelerator_types() -> set[str]:
    """The GPUs on offer, as the API of Vertex AI calls them."""
    return {*_N1_GPUS, *(name for name, _ in _GPUS.values())}


def training_quota(accelerator: str) -> str:
    """The metric of a GPU's quota for custom jobs; empty for what has none here."""
    kind = _GPU_QUOTAS.get(accelerator)
    return f"aiplatform.googleapis.com/custom_model_training_{kind}" if kind else ""


def quota_metrics() -> list[str]:
    """Every metric of custom jobs and deployed models."""
    kinds = (*_GPU_QUOTAS.values(), "cpus")
    names = [f"custom_model_{purpose}_{kind}" for purpose in _PURPOSES for kind in kinds]
    return [f"aiplatform.googleapis.com/{name}" for name in names]


def accelerator_name(machine: Any) -> str:
    """What a machine has, as the API calls it; empty where it has none.

    Args:
        machine: The MachineSpec.
    """
    if machine.tpu_topology:
        return f"TPU ({machine.machine_type})"
    return AcceleratorType(machine.accelerator_type).name if machine.accelerator_type else ""


def _accelerators(kind: str) -> Mapping[str, Collection[int]] | None:
    """How many of each accelerator a machine type takes; None where there is no such type."""
    none = {"": (0,)}
    family, _, size = kind.rpartition("-")
    if kind in _GPUS:
        name, count = _GPUS[kind]
        return {name: (count,)}
    if size.isdigit() and int(size) in _PLAIN.get(family, ()):
        return none
    if size.isdigit() and int(size) in _WITH_GPUS.get(family, ()):
        return none | _N1_GPUS
    if kind == "cloud-tpu":
        return _TPU_CORES
    return none if _TPU_SLICES.fullmatch(kind) else None
