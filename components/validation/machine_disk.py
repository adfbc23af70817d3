"""Whether the disk of the tuner's machine holds a run: its model, its checkpoints, its result."""

from __future__ import annotations

import dataclasses

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.models.disk_needs import disk_needs
from kfp_llm_tuning.components.models.feasibility import Setup, describe
from kfp_llm_tuning.components.models.machine_specs import (
    MachineSpec,
    machine_names,
    select_machine,
)
from kfp_llm_tuning.components.validation.machine_memory import MachineFindings

_PLACE = "tuning_machine"
_SELECTION = "enable_checkpoint_selection"
# Of a boot disk: the machine's own system, and the tuner's image with CUDA, unpacked. Estimated.
SYSTEM_BYTES = 30e9


def disk_findings(setup: Setup, machine: MachineSpec, *, selects: bool) -> MachineFindings:
    """Checks that a run fits on its machine's disk.

    Args:
        setup: The run.
        machine: The tuner's, with the size of its boot disk.
        selects: Whether the best checkpoint is kept.

    Returns:
        What stands against it; nothing where it fits.
    """
    size = machine.disk_size_gb * 1e9
    needs = disk_needs(setup.shape, setup.method, selects=selects)
    if needs.total + SYSTEM_BYTES <= size:
        return MachineFindings()
    what = (
        f"{describe(setup)} of {machine.name} needs {needs.text} where its boot disk has "
        f"{machine.disk_size_gb:,} GB"
    )
    fix = _fix(setup, machine, selects=selects)
    if needs.total > size:
        return MachineFindings([Problem(f"{what}.", _PLACE, fix=fix)])
    doubt = f"It may not fit: {what}, and its system and image take some of them. {fix}"
    return MachineFindings(warnings=[doubt])


def _fix(setup: Setup, machine: MachineSpec, *, selects: bool) -> str:
    adapters = dataclasses.replace(setup.method, tuning="adapter")
    as_asked = disk_needs(setup.shape, setup.method, selects=selects).total
    changes = {
        "tuning_method=adapter (LoRA)": disk_needs(setup.shape, adapters, selects=selects).total
    }
    if selects:
        fewer = disk_needs(setup.shape, setup.method, selects=False).total
        changes = {f"{_SELECTION}=false, which keeps one checkpoint less": fewer} | changes
    room = machine.disk_size_gb * 1e9 - SYSTEM_BYTES
    possible = [change for change, needed in changes.items() if needed <= room]
    possible += [
        f"tuning_machine={other.name}, of {other.disk_size_gb:,} GB"
        for other in _smallest_disk(machine.accelerator, as_asked + SYSTEM_BYTES)
    ]
    return f"Give {', or '.join(possible)}." if possible else "Choose a smaller model."


def _smallest_disk(accelerator: str, needed: float) -> list[MachineSpec]:
    """Finds a machine of the same kind with the least disk that will do, if there is one."""
    machines = [select_machine("", name) for name in machine_names()]
    fitting = [
        machine
        for machine in machines
        if machine.accelerator == accelerator and machine.disk_size_gb * 1e9 >= needed
    ]
    return sorted(fitting, key=lambda machine: machine.disk_size_gb)[:1]
