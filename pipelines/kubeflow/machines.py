"""The GPUs of a pod: those of a row of machine_specs.yaml, or some of them."""

from __future__ import annotations

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.models.machine_specs import select_machine


def gpu_count(machine: str, count: int = 0, stage: str = "") -> int:
    """Counts the GPUs of a pod.

    Args:
        machine: A row of machine_specs.yaml; empty for none.
        count: GPUs where they are not as many as the row's; 0: the row's.
        stage: What is to run there: tune, predict or serve; empty for any.

    Returns:
        How many; 0 for none.

    Raises:
        UserError: If no row has that name, if nothing of ours does the stage on it, or if the row
            has no GPUs to count.
    """
    if not machine:
        if count:
            raise UserError(_uncounted("there is no machine with GPUs to count."))
        return 0
    spec = select_machine("", machine, stage=stage)
    if count and spec.accelerator != "GPU":
        raise UserError(_uncounted(f"{machine} has no GPUs to count."))
    return count or spec.accelerator_count


def _uncounted(what: str) -> Problem:
    return Problem(what, "accelerator_count", "0, or a machine with GPUs")
