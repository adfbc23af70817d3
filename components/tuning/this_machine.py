"""The accelerator of the machine that the tuner was started on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.models.implemented import accelerators, no_engine

# What Vertex AI tells the containers of a custom job: all replicas, and the job's specification.
CLUSTER_VARIABLE = "CLUSTER_SPEC"
_PCI_DEVICES = Path("/sys/bus/pci/devices")
# Google's PCI vendor, and its TPUs from v2 to v6e: jax/_src/hardware_utils.py of JAX.
_GOOGLE = "0x1ae0"
_TPUS = {"0x0027", "0x0056", "0x005e", "0x0062", "0x0063", "0x006f", "0x0076"}


def check_this_machine(method: str) -> None:
    """Refuses a machine that nothing of ours tunes on: its processors would do the work unasked.

    Args:
        method: How weights are to be tuned: "adapter" or "full".

    Raises:
        UserError: If there is no engine for the machine and the method.
    """
    accelerator = accelerator_here()
    if refusal := no_engine("tune", accelerator, method=method):
        what = f"this is a {accelerator} machine, and {refusal}"
        raise UserError(Problem(what, "machine", ", ".join(accelerators("tune"))))


def accelerator_here() -> str:
    """Finds out what this machine has.

    Returns:
        "TPU", "GPU" or "CPU".
    """
    if _is_tpu_job(os.environ.get(CLUSTER_VARIABLE, "")) or _has_tpu_chips(_PCI_DEVICES):
        return "TPU"
    import torch

    return "GPU" if torch.cuda.is_available() else "CPU"


def _is_tpu_job(cluster: str) -> bool:
    """Reads whether Vertex AI was asked for TPUs, in the one way or the other."""
    try:
        job: Any = json.loads(cluster)["job"]
        pools = (json.loads(job) if isinstance(job, str) else job)["workerPoolSpecs"]
        machines = [pool.get("machineSpec", {}) for pool in pools]
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
    return any(
        machine.get("acceleratorType", "").startswith("TPU") or machine.get("tpuTopology")
        for machine in machines
    )


def _has_tpu_chips(devices: Path) -> bool:
    return any(
        _read(device / "vendor") == _GOOGLE and _read(device / "device") in _TPUS
        for device in devices.glob("*")
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
