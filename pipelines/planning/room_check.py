"""Whether a planned run fits: on the tuner, memory and disk, and later on the endpoint."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.models.disk_needs import disk_needs
from kfp_llm_tuning.components.models.feasibility import Setup, describe, verdict
from kfp_llm_tuning.components.models.machine_specs import MachineSpec, select_machine
from kfp_llm_tuning.components.validation.machine_disk import disk_findings
from kfp_llm_tuning.components.validation.machine_memory import memory_findings, setup_of
from kfp_llm_tuning.pipelines.planning.checks import Check
from kfp_llm_tuning.pipelines.planning.estimate import parameter_count, weight_megabytes
from kfp_llm_tuning.pipelines.planning.planned_run import PlannedRun, Tuner

if TYPE_CHECKING:
    from kfp_llm_tuning.components.models.model_reference import ModelReference
    from kfp_llm_tuning.components.validation.summary import Summary

_SUBJECT, _DISK = "memory", "disk"


def check_room(
    run: PlannedRun, summary: Summary, reference: ModelReference, tuner: Tuner
) -> list[Check]:
    """Reckons memory from the model's config.json and the rows.

    Args:
        run: The run.
        summary: Of its validated data.
        reference: The model.
        tuner: The machine that it tunes on.

    Returns:
        What was found.
    """
    if run.checked is None:
        return []
    return [*_tuner(run, summary, reference, tuner), *_endpoint(run, reference, tuner)]


def longest_row(summary: Summary, reference: ModelReference) -> int:
    """Bounds the tokens of the longest row: those of the longest prompt and the longest answer."""
    training = summary.training
    prompt = training.input_tokens.maximum if training.input_tokens else 0
    answer = training.output_tokens.maximum if training.output_tokens else 0
    return max(
        min(prompt, reference.max_input_tokens) + min(answer, reference.max_output_tokens), 1
    )


def _tuner(
    run: PlannedRun, summary: Summary, reference: ModelReference, tuner: Tuner
) -> list[Check]:
    if not tuner.machine:
        return []
    machine = select_machine("", tuner.machine)
    given = run.value("tuner_arguments")
    setup = setup_of(reference, given, machine, tuner.count)
    if setup is None:
        what = f"the sizes of {reference.checkpoint} are not known: its memory is not reckoned."
        return [Check(_SUBJECT, "unknown", what)]
    selects = reference.selects_checkpoint(str(run.value("enable_checkpoint_selection")))
    disk = _disk(setup, machine, selects=selects) if tuner.listed_prices else []
    setup = dataclasses.replace(setup, devices=max(round(setup.devices * tuner.part), 1))
    longest = longest_row(summary, reference)
    found = memory_findings(
        setup, longest=longest, chooses_machine=tuner.listed_prices, where=tuner.machine
    )
    checks = [Check.of(_SUBJECT, problem) for problem in found.problems]
    checks += [Check(_SUBJECT, "warning", text) for text in found.warnings]
    if not checks:
        needed = verdict(setup, longest).text
        text = f"{tuner.machine}: {describe(setup)}: {needed}; rows of up to {longest:,} tokens."
        checks.append(Check(_SUBJECT, "ok", text))
    return [*checks, *disk]


def _disk(setup: Setup, machine: MachineSpec, *, selects: bool) -> list[Check]:
    """Holds what a run keeps against the boot disk, whose size the table gives."""
    found = disk_findings(setup, machine, selects=selects)
    checks = [Check.of(_DISK, problem) for problem in found.problems]
    checks += [Check(_DISK, "warning", text) for text in found.warnings]
    needs = disk_needs(setup.shape, setup.method, selects=selects).text
    return checks or [Check(_DISK, "ok", f"{machine.name}: {needs} of {machine.disk_size_gb} GB.")]


def _endpoint(run: PlannedRun, reference: ModelReference, tuner: Tuner) -> list[Check]:
    """Tells before tuning what the task that deploys the model would tell after it."""
    from kfp_llm_tuning.components.upload.serving_machines import serving_machine

    if not (tuner.listed_prices and tuner.deploys):
        return []
    megabytes = weight_megabytes(parameter_count(reference.checkpoint))
    try:
        serving_machine(megabytes or None)
    except UserError as error:
        return [Check.of(_SUBJECT, problem) for problem in error.problems]
    return []
