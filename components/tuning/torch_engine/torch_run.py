"""One run of transformers' Trainer, as the outline of a run calls it."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import TrainerState

from kfp_llm_tuning.components.tuning import processes
from kfp_llm_tuning.components.tuning.engine import Computation
from kfp_llm_tuning.components.tuning.run_state import RunState
from kfp_llm_tuning.components.tuning.torch_engine.memory import TokenBudget, peak_bytes
from kfp_llm_tuning.components.tuning.torch_engine.trainable_model import TrainableModel
from kfp_llm_tuning.components.tuning.torch_engine.trainer import LabelOnlyTrainer
from kfp_llm_tuning.components.tuning.torch_engine.written_model import write_model

_PACKAGES = ("torch", "transformers", "peft", "accelerate", "datasets")


class TorchRun:
    """See :class:`kfp_llm_tuning.components.tuning.engine.EngineRun`."""

    def __init__(
        self, base: TrainableModel, trainer: LabelOnlyTrainer, budget: TokenBudget
    ) -> None:
        """Takes what the engine prepared.

        Args:
            base: The model as it was loaded.
            trainer: That trains it.
            budget: What a forward pass holds.
        """
        self._base = base
        self._trainer = trainer
        self._device = trainer.args.device
        self.computation = Computation(
            device=_device_name(self._device),
            bf16=base.bf16,
            dtype=str(base.dtype).removeprefix("torch."),
            trained_parameters=sum(p.numel() for p in base.model.parameters() if p.requires_grad),
            limits=f"{budget.training} tokens in a forward pass at most, {budget.evaluation} in "
            f"evaluations{budget.recomputation}",
            packages=_PACKAGES,
        )

    @property
    def state(self) -> TrainerState:
        """Steps done and the log history."""
        return self._trainer.state

    @property
    def run_state(self) -> RunState:
        """The best step, whether the run has ended, its training time."""
        return self._trainer.run_state

    def restore(self, checkpoint: Path) -> None:
        """Takes over what a checkpoint remembers."""
        self._trainer.restore(checkpoint)

    def run(self, checkpoint: Path | None) -> None:
        """Trains to the end, or until interrupted."""
        self._trainer.run(checkpoint)

    def load_finished(self, checkpoint: Path) -> None:
        """Takes over a run that had come to its end."""
        self._trainer.load_finished(checkpoint)

    def load_weights(self, checkpoint: Path) -> None:
        """Loads a checkpoint's weights."""
        self._trainer.load_weights(checkpoint)

    def peak_memory_bytes(self) -> int:
        """Tells the most memory that this process has held."""
        return peak_bytes(self._device)

    def write_model(self, folder: Path | None) -> None:
        """Writes configuration and weights; all processes of a sharded model must call it."""
        trainer = self._trainer
        model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
        write_model(model, self._base, folder)

    def wait_for_all(self) -> None:
        """Waits for the other processes."""
        self._trainer.accelerator.wait_for_everyone()


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} x {processes.count()}"
    return f"CPU, {torch.get_num_threads()} threads"
