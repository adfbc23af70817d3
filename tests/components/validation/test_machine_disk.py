"""A run whose checkpoints fill the machine's disk is refused before it begins."""

from __future__ import annotations

import dataclasses

from kfp_llm_tuning.components.models.machine_specs import select_machine
from kfp_llm_tuning.components.models.model_references import resolve
from kfp_llm_tuning.components.validation.machine_disk import disk_findings
from kfp_llm_tuning.components.validation.machine_memory import setup_of
from tests.components.validation.pipeline_requests import VERTEX, check, problems


def test_checkpoints_of_all_weights_are_counted() -> None:
    machine = select_machine("", "a100-80gb-8")
    setup = setup_of(resolve("text-bison@001"), {}, machine)
    assert setup
    assert disk_findings(setup, machine, selects=True) == disk_findings(
        setup, machine, selects=False
    )
    full = dataclasses.replace(setup, method=dataclasses.replace(setup.method, tuning="full"))
    small = dataclasses.replace(machine, disk_size_gb=320)
    (problem,) = disk_findings(full, small, selects=True).problems
    for part in ("396 GB of disk", "checkpoints 366 GB", "320 GB"):
        assert part in problem.what
    assert "tuning_method=adapter" in problem.fix
    assert "of 500 GB" in problem.fix, "a machine whose disk will do"
    assert "enable_checkpoint_selection=false" not in problem.fix, "304 GB and a system"
    (doubt,) = disk_findings(full, small, selects=False).warnings
    assert "It may not fit" in doubt


def test_a_request_is_told_of_its_disk() -> None:
    told = problems(
        VERTEX,
        large_model_reference="llama-3.3-70b-instruct",
        tuning_method="full",
        tuning_machine="b200-8",
    )
    (disk,) = [problem for problem in told if "disk" in problem]
    assert "tuning_machine" in disk and "1,000 GB" in disk
    assert "tuning_machine=" not in disk, "none of the table will do"
    assert check(VERTEX, large_model_reference="text-bison@001", tuning_machine="l4-1").machine
