"""Ends training after the step in which the run was interrupted, in every process alike."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from kfp_llm_tuning.components.tuning.interruption import Interruption


class InterruptionCallback(TrainerCallback):
    """Saves a checkpoint and stops when an interruption is requested of any process."""

    def __init__(self, interruption: Interruption) -> None:
        """Names what is asked after every step."""
        self._interruption = interruption

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Asks for a checkpoint and the end, except after the last step, which does both anyway."""
        if self._interruption.requested_of_any() and state.global_step < state.max_steps:
            control.should_save = control.should_training_stop = True
