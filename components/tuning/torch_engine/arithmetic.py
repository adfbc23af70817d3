"""In which arithmetic a run computes: one choice for all its processes, and for all its sessions.

What a processor is faster in is tried out, and a trial on a busy machine may end otherwise than the
last one did. A run that went on in another arithmetic would not be the run that it was.
"""

from __future__ import annotations

import torch

from kfp_llm_tuning.components.models.precision import has_fast_bf16
from kfp_llm_tuning.components.tuning import processes
from kfp_llm_tuning.components.tuning.checkpoints import Checkpoint
from kfp_llm_tuning.components.tuning.run_state import RunState


def computes_in_bf16(asked: str, newest: Checkpoint | None) -> bool:
    """Tells whether a run computes in bfloat16.

    Args:
        asked: The argument ``precision``.
        newest: The checkpoint that it goes on from; None at its beginning.

    Returns:
        What is asked for; where that is "auto", what a GPU is made for, and on a processor what the
        run began with, or what the first of its processes finds to be faster.
    """
    if asked != "auto":
        return asked == "bf16"
    if torch.cuda.is_available():
        return has_fast_bf16()
    begun = RunState.load(newest.path)[0].bf16 if newest else None
    return _found_by_first() if begun is None else begun


def _found_by_first() -> bool:
    if processes.count() == 1:
        return has_fast_bf16()
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list

    PartialState(cpu=True)
    found: list[bool] = broadcast_object_list([processes.is_main() and has_fast_bf16()])
    return found[0]
