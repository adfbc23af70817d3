"""The published machines, the further rows, and the choice among them."""

from __future__ import annotations

import json
import re

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.models.machine_specs import machine_names, select_machine
from kfp_llm_tuning.components.validation.regions import regions


def test_machines_that_nothing_tunes_on_are_known_and_refused() -> None:
    for name, where in (("", "accelerator_type"), ("tpu-v6e-4", "tuning_machine")):
        with pytest.raises(
            UserError, match="a TPU machine, and no engine of this version"
        ) as caught:
            select_machine("TPU" if not name else "", name)
        (problem,) = caught.value.problems
        assert (problem.where, problem.allowed) == (where, ", ".join(machine_names()))
    assert not any("tpu" in name for name in machine_names())


def test_published_gpu() -> None:
    machine = select_machine("GPU")
    assert (machine.machine_type, machine.accelerator_type) == (
        "a2-ultragpu-8g",
        "NVIDIA_A100_80GB",
    )
    assert (machine.accelerator_count, machine.region) == (8, "us-central1")
    assert (machine.disk_type, machine.disk_size_gb) == ("pd-ssd", 500)


@pytest.mark.parametrize("name", machine_names())
def test_every_row_is_whole(name: str) -> None:
    machine = select_machine("", name)
    assert machine.region in regions()
    assert (machine.accelerator_count == 0) == (machine.accelerator == "CPU")
    assert json.loads(machine.to_json())["machine_type"] == machine.machine_type


def test_a_machine_is_chosen_by_name() -> None:
    assert select_machine("GPU", "h100-8").machine_type == "a3-highgpu-8g"
    assert select_machine("GPU", "cpu-16").accelerator == "CPU"


def test_a_misspelt_machine_gets_the_nearest() -> None:
    with pytest.raises(UserError, match=re.escape("Did you mean h100-8?")):
        select_machine("GPU", "h10-8")


def test_a_machine_of_the_other_accelerator_is_refused() -> None:
    with pytest.raises(
        UserError, match="h100-8 is a GPU machine, but accelerator_type is TPU"
    ) as e:
        select_machine("TPU", "h100-8")
    assert "h100-8" not in e.value.problems[0].allowed


def test_something_must_decide() -> None:
    with pytest.raises(ValueError, match="Neither"):
        select_machine("")
