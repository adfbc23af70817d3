"""The machine that a tuned model is served on: the smallest of a table that holds its weights."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.tables import load_table

_TABLE = Path(__file__).with_name("serving_machines.yaml")
_MEGABYTES_PER_GB = 1000
# Millions of parameters; 16 bits each.
_PARAMETERS = {"b": 1000.0, "m": 1.0}
_MEGABYTES_PER_MILLION = 2


@dataclass(frozen=True)
class ServingMachine:
    """One machine, in the words of Vertex AI.

    Attributes:
        weights_gb: The most that a model's weights may weigh.
        machine_type: For example g2-standard-12.
        accelerator_type: Name of the GPU in Vertex AI's API; empty where there is none.
        accelerator_count: Number of GPUs.
    """

    weights_gb: float
    machine_type: str
    accelerator_type: str = ""
    accelerator_count: int = 0

    @property
    def description(self) -> str:
        """The machine for messages: ``g2-standard-12 with 1 x NVIDIA_L4``."""
        if not self.accelerator_count:
            return self.machine_type
        return f"{self.machine_type} with {self.accelerator_count} x {self.accelerator_type}"


def serving_machine(megabytes: int | None) -> ServingMachine:
    """Chooses a machine.

    Args:
        megabytes: What the weights weigh; None where that is not known.

    Returns:
        The smallest that holds them.

    Raises:
        UserError: If none does.
    """
    unknown = load_table(_TABLE)["unknown_weights_gb"]
    size = unknown if megabytes is None else megabytes / _MEGABYTES_PER_GB
    machines = _machines()
    for machine in machines:
        if size <= machine.weights_gb:
            return machine
    raise UserError(
        Problem(
            f"weights of {size:,.0f} GB fit no machine that models are deployed to.",
            "deploy_model",
            f"weights up to {machines[-1].weights_gb:,.0f} GB",
            "Set deploy_model to false, and serve the registered model with several machines.",
        )
    )


def needs_accelerator(megabytes: int) -> bool:
    """Tells whether weights are served on GPUs, by a machine of the table or by larger ones.

    Args:
        megabytes: What the weights weigh.

    Returns:
        False where a machine without GPUs holds them.
    """
    return not any(
        megabytes / _MEGABYTES_PER_GB <= machine.weights_gb
        for machine in _machines()
        if not machine.accelerator_count
    )


def weights_megabytes(saved_model: Path) -> int:
    """Weighs a saved model.

    Args:
        saved_model: Its folder, in Hugging Face layout.

    Returns:
        The size of its safetensors files in megabytes, rounded up.
    """
    size = sum(path.stat().st_size for path in saved_model.glob("*.safetensors"))
    return -(-size // 10**6)


def named_megabytes(checkpoint: str) -> int | None:
    """Reads the weight of a checkpoint out of its name, as in ``Qwen/Qwen2.5-7B-Instruct``.

    Args:
        checkpoint: Its name.

    Returns:
        Megabytes; None where the name tells no number of parameters.
    """
    found = re.search(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)(b|m)(?![a-z0-9])", checkpoint.lower())
    if not found:
        return None
    return round(float(found[1]) * _PARAMETERS[found[2]] * _MEGABYTES_PER_MILLION)


def _machines() -> list[ServingMachine]:
    return [ServingMachine(**row) for row in load_table(_TABLE)["machines"]]
