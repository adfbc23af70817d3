"""What a device of a machine holds and reaches: devices.yaml."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.tables import load_table
from kfp_llm_tuning.components.models.machine_specs import MachineSpec

TABLE = Path(__file__).with_name("devices.yaml")
CPU = "CPU"


@dataclass(frozen=True)
class Device:
    """A GPU, or the processors of a machine without.

    Attributes:
        memory: Bytes.
        peak: Operations a second in bf16, of the data sheet.
        products: Of these, what large matrix products reach.
        attention: What attention reaches.
        bandwidth: Bytes a second.
        link: Bytes a second to the other devices of the machine; 0 where there are none.
        cuda: Whether it is a GPU.
    """

    memory: float
    peak: float
    products: float
    attention: float
    bandwidth: float
    link: float
    cuda: bool

    def part(self, share: float) -> Device:
        """Takes a share of a machine's processors, which reach their memory as all of them."""
        return dataclasses.replace(
            self,
            peak=self.peak * share,
            products=self.products * share,
            attention=self.attention * share,
        )


def device_named(accelerator_type: str) -> Device | None:
    """Finds a device; None where the table has none of that name.

    Args:
        accelerator_type: In Vertex AI's API; CPU for a machine without.
    """
    table = load_table(TABLE)
    row, reached = table["devices"].get(accelerator_type), table["reached"]
    if row is None:
        return None
    peak = row["teraflops"] * 1e12
    return Device(
        memory=row["memory_gb"] * 1e9,
        peak=peak,
        products=peak * reached["products"],
        attention=peak * reached["attention"],
        bandwidth=row["memory_tb"] * 1e12 * reached["memory"],
        link=row["link_gb"] * 1e9 * reached["link"],
        cuda=accelerator_type != CPU,
    )


def device_of(machine: MachineSpec) -> Device | None:
    """Finds the device of a machine; None where its accelerator is not in the table."""
    return device_named(machine.accelerator_type if machine.accelerator_count else CPU)


def network_of(machine: MachineSpec) -> float:
    """Gives the bytes a second that a machine sends to others; 0 where that is not known.

    Args:
        machine: Of machine_specs.yaml.
    """
    table = load_table(TABLE)
    gigabits = table["network_gbit"].get(machine.machine_type, 0)
    return float(gigabits * 1e9 / 8 * table["reached"]["network"])


def uncertainty(of: str) -> float:
    """Says by which factor a prediction may be wrong either way.

    Args:
        of: memory or time.
    """
    return float(load_table(TABLE)["uncertainty"][of])


def host_times() -> Any:
    """Gives the host's seconds: forward_start, backward_start and step."""
    return load_table(TABLE)["host"]
