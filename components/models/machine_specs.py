"""The machines that engines run on: machine_specs.yaml and the choice among them."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import msgspec

from kfp_llm_tuning.components.common.documents import parse_json
from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.tables import load_table
from kfp_llm_tuning.components.common.wording import did_you_mean, short
from kfp_llm_tuning.components.models.implemented import implementations, no_engine

_TABLE = Path(__file__).with_name("machine_specs.yaml")
# The component input that a machine travels in.
_INPUT = "machine_spec"


@dataclass(frozen=True)
class MachineSpec:
    """One machine, in the words of Vertex AI's CustomJob.

    Attributes:
        name: The name in machine_specs.yaml.
        accelerator: "TPU", "GPU" or "CPU".
        machine_type: For example a2-ultragpu-8g.
        accelerator_count: GPUs, TPU cores (v3) or TPU chips.
        disk_type: Type of the boot disk.
        disk_size_gb: Size of the boot disk in GB.
        region: Where tuning runs with it.
        accelerator_type: Name in Vertex AI's API; empty where the machine type says it.
        tpu_topology: For example 4x4; empty for GPUs and TPU v3.
    """

    name: str
    accelerator: str
    machine_type: str
    accelerator_count: int
    disk_type: str
    disk_size_gb: int
    region: str
    accelerator_type: str = ""
    tpu_topology: str = ""

    def to_json(self) -> str:
        """Writes every field, keys sorted."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> MachineSpec | None:
        """Reads what :meth:`to_json` wrote.

        Args:
            text: The JSON; empty where the platform decides on machines.

        Returns:
            The machine; None for an empty text.

        Raises:
            UserError: If it is something else.
        """
        if not text:
            return None
        try:
            return msgspec.convert(parse_json(text, _INPUT), cls)
        except msgspec.ValidationError as error:
            raise UserError(Problem(f"{error}.", _INPUT, "what validate-pipeline gives")) from error


def machine_names(stage: str = "tune") -> list[str]:
    """Lists the machines of the table that something of ours runs on.

    Args:
        stage: What is to run there: tune, predict or serve; empty for any.

    Returns:
        Their names, in the table's order.
    """
    return [
        name
        for name, row in load_table(_TABLE)["machines"].items()
        if implementations(stage, accelerator=row["accelerator"])
    ]


def select_machine(
    accelerator: str, machine: str = "", where: str = "tuning_machine", *, stage: str = "tune"
) -> MachineSpec:
    """Chooses a machine.

    Args:
        accelerator: "TPU", "GPU", or empty for the named machine's own.
        machine: A name of machine_specs.yaml; empty for the accelerator's default.
        where: The parameter or option that names it, for the error message.
        stage: What is to run there: tune, predict or serve; empty for any.

    Returns:
        The machine.

    Raises:
        UserError: If no machine has that name, if nothing of ours does the stage on it, or if it
            has another accelerator than the given one.
        ValueError: If neither accelerator nor machine is given.
    """
    table = load_table(_TABLE)
    name = machine or table["defaults"].get(accelerator, "")
    if not name:
        raise ValueError("Neither accelerator nor machine is given.")
    names = machine_names(stage)
    if name not in table["machines"]:
        raise UserError(
            Problem(
                f"no machine is called {short(name)}.",
                where,
                ", ".join(names),
                did_you_mean(name, names),
            )
        )
    spec = MachineSpec(name=name, **table["machines"][name])
    if refusal := no_engine(stage, spec.accelerator):
        what = f"{name} is a {spec.accelerator} machine, and {refusal}"
        place = where if machine else "accelerator_type"
        raise UserError(Problem(what, place, ", ".join(names)))
    if accelerator and spec.accelerator not in (accelerator, "CPU"):
        allowed = [key for key in names if table["machines"][key]["accelerator"] == accelerator]
        raise UserError(
            Problem(
                f"{name} is a {spec.accelerator} machine, but accelerator_type is {accelerator}.",
                where,
                ", ".join(allowed),
            )
        )
    return spec
