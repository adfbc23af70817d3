"""Whether a run fits on its machines, and the smallest changes that make it fit; needs no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from kfp_llm_tuning.components.common.wording import counted
from kfp_llm_tuning.components.models.devices import Device, device_of, network_of, uncertainty
from kfp_llm_tuning.components.models.footprint import (
    Footprint,
    Method,
    footprint,
    is_to_be_shared,
)
from kfp_llm_tuning.components.models.implemented import no_engine
from kfp_llm_tuning.components.models.machine_specs import (
    MachineSpec,
    machine_names,
    select_machine,
)
from kfp_llm_tuning.components.models.model_shapes import ModelShape

# Arguments of the tuner that need less memory of a device.
_SHARDING, _FOUR_BITS = "sharding", "load_in_4bit"
# Tokens of a row where the data is not known: a run with shorter ones alone is hardly worth a GPU.
SHORT_ROW = 512
_MOST_MACHINES = 16
# Of processors memory is cheap and time is not: they are proposed for small models alone.
_MOST_WEIGHTS_OF_A_CPU = 500_000_000


@dataclass(frozen=True)
class Setup:
    """A model, how it is tuned, and on what.

    Attributes:
        shape: The model.
        method: How it is tuned; whether it is sharded is decided by ``sharding``.
        device: Each of those that it is tuned on.
        devices: How many of them a machine has.
        machines: How many machines.
        sharding: auto shards where one device does not hold the run; none; full.
        network: Bytes a second that a machine sends to the others; 0 where that is not known.
    """

    shape: ModelShape
    method: Method
    device: Device
    devices: int = 1
    machines: int = 1
    sharding: str = "auto"
    network: float = 0.0

    @classmethod
    def on(cls, machine: MachineSpec, shape: ModelShape, method: Method) -> Setup | None:
        """Takes a whole machine; None where nothing is known of its accelerator."""
        device = device_of(machine)
        devices = max(machine.accelerator_count, 1)
        return cls(shape, method, device, devices, network=network_of(machine)) if device else None

    @property
    def processes(self) -> int:
        """Devices of all machines."""
        return self.devices * self.machines

    @property
    def may_share(self) -> bool:
        """Whether devices may share the weights: what is quantised is not shared out."""
        several_gpus = self.device.cuda and self.processes > 1
        return several_gpus and self.sharding != "none" and not self.method.four_bit


@dataclass(frozen=True)
class Verdict:
    """What was found.

    Attributes:
        needed: What one device holds at least.
        memory: Bytes that it has.
        method: The method with the sharding that was decided on.
    """

    needed: Footprint
    memory: float
    method: Method

    @property
    def fits(self) -> bool:
        """Whether the prediction is within the memory."""
        return self.needed.total <= self.memory

    @property
    def impossible(self) -> bool:
        """Whether it is beyond the memory by more than the prediction may be wrong."""
        return self.needed.total > self.memory * uncertainty("memory")

    @property
    def text(self) -> str:
        """Says it: what is needed of what there is."""
        parts = {
            "weights, gradients and optimiser": self.needed.state,
            "copies of weights": self.needed.copies,
            "logits": self.needed.logits,
            "activations": self.needed.activations,
        }
        said = [f"{name} {_gb(size)}" for name, size in parts.items() if size > 5e7]
        shown = f" ({', '.join(said)})" if said else ""
        place = "each device" if self.method.sharded else "a device"
        return (
            f"about {_gb(self.needed.total)} of memory on {place}{shown} where there are "
            f"{_gb(self.memory)}"
        )


def verdict(setup: Setup, longest: int = SHORT_ROW) -> Verdict:
    """Finds whether a run fits: what recomputing layers saves is saved.

    Args:
        setup: The run.
        longest: Tokens of the longest row, as far as is known.

    Returns:
        What was found.
    """
    whole, shared = (
        _verdict(setup, dataclasses.replace(setup.method, sharded=sharded), longest)
        for sharded in (False, True)
    )
    if not setup.may_share:
        return whole
    needed = setup.sharding == "full" or is_to_be_shared(whole.needed.state, whole.memory)
    return shared if needed else whole


def _verdict(setup: Setup, method: Method, longest: int) -> Verdict:
    cuda = setup.device.cuda
    needed = footprint(
        setup.shape,
        method,
        longest,
        processes=setup.processes,
        recomputed=cuda,
        cuda=cuda,
        # A processor may know bf16 or not: adapters' weights then are shorter or not.
        bf16=cuda or method.adapters,
    )
    return Verdict(needed, setup.device.memory, method)


def changes(setup: Setup, longest: int = SHORT_ROW, *, chooses_machine: bool) -> Iterator[str]:
    """Finds single changes that make a run fit, the smallest first.

    Args:
        setup: A run that does not fit.
        longest: As of :func:`verdict`.
        chooses_machine: Whether the request decides on machines.

    Yields:
        What to give.
    """
    for text, changed in _changed(setup):
        if verdict(changed, longest).fits:
            yield text
    if not chooses_machine:
        return
    if found := smallest_machine(setup, longest):
        yield f"tuning_machine={found.name}"
    if setup.device.cuda:
        for machines in range(setup.machines + 1, _MOST_MACHINES + 1):
            more = dataclasses.replace(setup, machines=machines, sharding="auto")
            if verdict(more, longest).fits:
                yield f"tuning_machine_count={machines}"
                return


def _changed(setup: Setup) -> Iterator[tuple[str, Setup]]:
    """Lists what may be given in the place of other settings, the smallest change first."""
    method = setup.method
    for sharding in ("auto", "full"):
        if sharding != setup.sharding:
            yield f"{_SHARDING}={sharding}", dataclasses.replace(setup, sharding=sharding)
    four_bits = dataclasses.replace(method, tuning="adapter", four_bit=True)
    if method.adapters:
        if not method.four_bit:
            yield f"{_FOUR_BITS}=true", dataclasses.replace(setup, method=four_bits)
        return
    adapters = dataclasses.replace(method, tuning="adapter")
    yield "tuning_method=adapter (LoRA)", dataclasses.replace(setup, method=adapters)
    text = f"tuning_method=adapter with {_FOUR_BITS}=true"
    yield text, dataclasses.replace(setup, method=four_bits)


def smallest_machine(setup: Setup, longest: int = SHORT_ROW) -> MachineSpec | None:
    """Finds the machine of the table with the least memory that a run fits on.

    Args:
        setup: The run; its own machines are left out of account.
        longest: As of :func:`verdict`.

    Returns:
        None where no machine of the table will do.
    """
    fitting: list[tuple[float, int, MachineSpec]] = []
    for name in machine_names():
        machine = select_machine("", name)
        made = Setup.on(machine, setup.shape, setup.method)
        if made is None or no_engine("tune", machine.accelerator, method=setup.method.tuning):
            continue
        made = dataclasses.replace(made, sharding=setup.sharding)
        slow = not made.device.cuda and setup.shape.weights > _MOST_WEIGHTS_OF_A_CPU
        if not slow and verdict(made, longest).fits:
            size = made.device.memory * made.devices * (1 if made.device.cuda else 0)
            fitting.append((size, len(fitting), machine))
    return min(fitting)[2] if fitting else None


def describe(setup: Setup) -> str:
    """Says what is tuned, how, and on how many devices."""
    how = "LoRA" if setup.method.adapters else "all weights"
    if setup.method.four_bit:
        how += " beside weights in 4 bits"
    return f"{_weights(setup.shape.weights)}, {how}, on {counted(setup.processes, 'device')}"


def _weights(count: int) -> str:
    if count < 1e9:
        return f"{count / 1e6:.3g} million weights"
    return f"{count / 1e9:.2g} billion weights"


def _gb(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size < 1e10 else f"{size / 1e9:,.0f} GB"
