"""Ends training after the step in which the run was interrupted, in every process alike."""

from __future__ import annotations

from typing import Any

import torch
from transformers import TrainerCallback

from kfp_llm_tuning.components.tuning.interruption import Interruption


class InterruptionCallback(TrainerCallback):
    """Saves a checkpoint and stops when an interruption is requested of any process."""

    def __init__(self, interruption: Interruption) -> None:
        """Names what is asked after every step."""
        self._interruption = interruption

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Asks for a checkpoint and the end, except after the last step, which does both anyway."""
        requested = self._interruption.requested
        if args.world_size > 1:
            flag = torch.tensor(float(requested), device=args.device)
            torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
            requested = bool(flag.item())
            if requested and not self._interruption.reason:
                self._interruption.reason = "another process was interrupted"
        if requested and state.global_step < state.max_steps:
            control.should_save = control.should_training_stop = True
