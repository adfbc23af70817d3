"""Whether the machine of the batch predictions holds the model, before anything is spent on it."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_llm_tuning.components.models.devices import CPU, device_named
from kfp_llm_tuning.components.models.machine_specs import select_machine
from kfp_llm_tuning.components.validation.machine_disk import SYSTEM_BYTES
from kfp_llm_tuning.pipelines.planning.checks import Check
from kfp_llm_tuning.pipelines.vertex.planning.run_needs import (
    PREDICTOR,
    MachineNeed,
    machine_needs,
    weight,
)
from kfp_llm_tuning.pipelines.vertex.planning.vertex_run import VertexRun


def check_prediction_room(run: VertexRun) -> Iterator[Check]:
    """Compares the model's weights with the GPUs' memory, which they share, and with the disk.

    Args:
        run: With the spec that is sent.

    Yields:
        What does not fit; nothing where the parameters are invalid, or the model's or the machine's
        size is not known.
    """
    if not run.checked:
        return
    weights = weight(run) / 1000
    for need in machine_needs(run):
        if need.task != PREDICTOR:
            continue
        for subject, room in _rooms(need):
            if weights > room:
                yield _too_small(need, subject, room, weights)


def _rooms(need: MachineNeed) -> Iterator[tuple[str, float]]:
    """Gives the gigabytes that a machine has for a model, by what has them."""
    if device := device_named(need.accelerator_type or CPU):
        yield "memory", device.memory * max(need.accelerator_count, 1) / 1e9
    disk = select_machine("", need.name).disk_size_gb
    yield "disk", disk - SYSTEM_BYTES / 1e9


def _too_small(need: MachineNeed, subject: str, room: float, weights: float) -> Check:
    what = (
        f"{need.name}, the machine of the batch predictions, has {room:,.0f} GB of {subject}, and "
        f"the model's weights take {weights:,.0f} GB"
    )
    fix = f"{need.fix[0].upper()}{need.fix[1:]}."
    if need.spared:
        return Check(subject, "warning", f"{what}: {need.spared}.", fix)
    return Check(subject, "problem", f"{what}: gate_metric needs them.", fix)
