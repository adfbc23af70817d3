"""Weights and optimiser in a checkpoint: whole, or a part of every process that shares a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from kfp_llm_tuning.components.tuning.torch_engine.shared_states import (
    holds_shared_states,
    read_optimizer,
    read_weights,
    shared_states,
    write_shared,
    writers,
)
from kfp_llm_tuning.components.tuning.torch_engine.trained_weights import weights_to_save

# Trainer reads it by this name.
OPTIMIZER = "optimizer.pt"


class CheckpointStates:
    """Takes, writes and reads what a run trains.

    Attributes:
        by_all: Whether every process writes its part; else the first writes all.
    """

    def __init__(self, *, by_all: bool) -> None:
        """Makes the group of processes that write, where all do.

        Args:
            by_all: Whether processes share what is trained.
        """
        self.by_all = by_all
        self._group = writers() if by_all else None

    def take(self, model: Any, optimizer: Any) -> dict[str, Any]:
        """Names what a checkpoint holds of this process; not copied.

        Args:
            model: The model, not wrapped.
            optimizer: accelerate's.
        """
        if self.by_all:
            return shared_states(model, optimizer.optimizer)
        return {"model": weights_to_save(model), "optimizer": optimizer.state_dict()}

    def write(
        self, states: dict[str, Any], folder: Path, save: Callable[[dict[str, Any]], None]
    ) -> None:
        """Writes what was taken, or a copy.

        Args:
            states: Of :meth:`take`.
            folder: Of the checkpoint.
            save: Writes whole weights into it.
        """
        if self.by_all:
            write_shared(states, folder, self._group)
            return
        save(states["model"])
        torch.save(states["optimizer"], folder / OPTIMIZER)

    def reads(self, checkpoint: Path) -> bool:
        """Tells whether a checkpoint is read here; else it is whole, and Trainer reads it."""
        return self.by_all or holds_shared_states(checkpoint)

    def read_weights(self, model: Any, checkpoint: Path) -> None:
        """Reads weights into a model; every process must call it."""
        read_weights(model, checkpoint)

    def read_optimizer(self, model: Any, optimizer: Any, checkpoint: Path) -> None:
        """Reads the optimiser's state; every process must call it."""
        read_optimizer(model, optimizer.optimizer, checkpoint, checkpoint / OPTIMIZER)
