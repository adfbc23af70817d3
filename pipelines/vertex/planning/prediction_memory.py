"""Whether the machine of the batch predictions holds the model, before anything is spent on it."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_llm_tuning.components.models.devices import CPU, device_named
from kfp_llm_tuning.pipelines.planning.checks import Check
from kfp_llm_tuning.pipelines.vertex.planning.run_needs import PREDICTOR, machine_needs, weight
from kfp_llm_tuning.pipelines.vertex.planning.vertex_run import VertexRun


def check_prediction_memory(run: VertexRun) -> Iterator[Check]:
    """Compares the model's weights, which all GPUs of the machine share, with their memory.

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
        device = device_named(need.accelerator_type or CPU)
        if need.task != PREDICTOR or device is None:
            continue
        memory = device.memory * max(need.accelerator_count, 1) / 1e9
        if weights <= memory:
            continue
        what = (
            f"{need.name}, the machine of the batch predictions, has {memory:,.0f} GB, and the "
            f"model's weights take {weights:,.0f} GB"
        )
        fix = f"{need.fix[0].upper()}{need.fix[1:]}."
        if need.spared:
            yield Check("memory", "warning", f"{what}: {need.spared}.", fix)
        else:
            yield Check("memory", "problem", f"{what}: gate_metric needs them.", fix)
