"""The accelerators of a pod: those of a row of machine_specs.yaml, where one pod can have them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.tuning.machine_specs import MachineSpec, select_machine

# What GKE calls the TPUs of a machine type's family, for a slice of several machines or one.
_TPU_TYPES = {
    "ct5lp": "tpu-v5-lite-podslice",
    "ct5p": "tpu-v5p-slice",
    "ct6e": "tpu-v6e-slice",
}
# Machine types end in the chips of one machine: ct6e-standard-4t.
_CHIPS = re.compile(r"(?P<family>[a-z0-9]+)-[a-z]+-(?P<chips>[0-9]+)t")


@dataclass(frozen=True)
class Accelerators:
    """What one pod has.

    Attributes:
        kind: GPU or TPU.
        count: GPUs, or TPU chips.
        tpu_type: GKE's name of the TPUs; empty for GPUs.
        tpu_topology: How a TPU slice's chips are arranged; empty for GPUs.
    """

    kind: str
    count: int
    tpu_type: str = ""
    tpu_topology: str = ""


def accelerators(machine: str, count: int = 0) -> Accelerators | None:
    """Finds the accelerators of a pod.

    Args:
        machine: A row of machine_specs.yaml; empty for none.
        count: GPUs where they are not as many as the row's; 0: the row's.

    Returns:
        The accelerators; None where there are none.

    Raises:
        UserError: If no row has that name, if it is more than one machine, or if the row has no
            GPUs to count.
    """
    if not machine:
        if count:
            raise UserError(_uncounted("there is no machine with GPUs to count."))
        return None
    spec = select_machine("", machine)
    if count and spec.accelerator != "GPU":
        raise UserError(_uncounted(f"{machine} has no GPUs to count."))
    if spec.accelerator == "TPU":
        return _slice(spec)
    found = count or spec.accelerator_count
    return Accelerators("GPU", found) if spec.accelerator == "GPU" else None


def _uncounted(what: str) -> Problem:
    return Problem(what, "accelerator_count", "0, or a machine with GPUs")


def _slice(spec: MachineSpec) -> Accelerators:
    """Describes a TPU slice of one machine: a task is one pod, and a pod runs on one machine."""
    match = _CHIPS.fullmatch(spec.machine_type)
    if not match or match["family"] not in _TPU_TYPES:
        raise UserError(
            Problem(f"Kubernetes knows no machine of the type {spec.machine_type}.", "machine")
        )
    machines = spec.accelerator_count // int(match["chips"])
    if machines != 1:
        raise UserError(
            Problem(
                f"{spec.name} is a slice of {machines} machines, and a task is one pod.",
                "machine",
                "a slice of one machine, such as tpu-v6e-4",
            )
        )
    return Accelerators(
        "TPU", spec.accelerator_count, _TPU_TYPES[match["family"]], spec.tpu_topology
    )
