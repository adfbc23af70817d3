"""Whether the machines of a run hold it: the tuner's, and the endpoint's of the tuned model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.models.feasibility import (
    SHORT_ROW,
    Setup,
    changes,
    describe,
    verdict,
)
from kfp_llm_tuning.components.models.footprint import Method
from kfp_llm_tuning.components.models.machine_specs import MachineSpec
from kfp_llm_tuning.components.models.model_reference import ModelReference
from kfp_llm_tuning.components.models.model_shapes import shape_of
from kfp_llm_tuning.components.parameters.tuner import ARGUMENTS, read_further

_PLACE = "tuning_machine"


@dataclass(frozen=True)
class MachineFindings:
    """What stands against a run for want of memory, or of disk.

    Attributes:
        problems: It cannot fit, by more than the prediction may be wrong.
        warnings: It may not fit.
    """

    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def method_of(reference: ModelReference, tuner_arguments: dict[str, Any]) -> Method:
    """Reads how a model is tuned.

    Args:
        reference: The model.
        tuner_arguments: The root input; wrong values count as not given.
    """
    given, _ = read_further(tuner_arguments)
    rank = int(given.get("lora_rank", ARGUMENTS["lora_rank"].default))
    return Method(reference.tuning, rank, bool(given.get("load_in_4bit", False)))


def setup_of(
    reference: ModelReference,
    tuner_arguments: dict[str, Any],
    machine: MachineSpec,
    machines: int = 1,
) -> Setup | None:
    """Describes a run on a machine of the table.

    Args:
        reference: The model.
        tuner_arguments: The root input.
        machine: The tuner's.
        machines: How many; fewer than one are refused elsewhere.

    Returns:
        None where the model's sizes or the machine's devices are not known.
    """
    shape = shape_of(reference.checkpoint)
    if shape is None:
        return None
    found = Setup.on(machine, shape, method_of(reference, tuner_arguments))
    if found is None:
        return None
    given, _ = read_further(tuner_arguments)
    sharding = str(given.get("sharding", "auto"))
    return dataclasses.replace(found, machines=max(machines, 1), sharding=sharding)


def memory_findings(
    setup: Setup,
    place: str = _PLACE,
    *,
    longest: int = SHORT_ROW,
    chooses_machine: bool = True,
    where: str = "",
) -> MachineFindings:
    """Checks that a run fits in memory.

    Args:
        setup: The run.
        place: The parameter that messages name.
        longest: Tokens of the longest row, as far as is known.
        chooses_machine: Whether the request decides on machines.
        where: Names the machine in messages.

    Returns:
        What stands against it; nothing where it fits.
    """
    found = verdict(setup, longest)
    if found.fits:
        return MachineFindings()
    what = f"{describe(setup)}{f' of {where}' if where else ''} needs {found.text}"
    possible = list(changes(setup, longest, chooses_machine=chooses_machine))
    fix = f"Give {', or '.join(possible)}." if possible else "Choose a smaller model."
    if found.impossible:
        return MachineFindings([Problem(f"{what}.", place, fix=fix)])
    return MachineFindings(warnings=[f"It may not fit: {what}, and that may be wrong. {fix}"])
