"""Runs batches through the model in parts that fit in memory, and sums what the metrics need."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterable, Sequence

import torch
from accelerate import Accelerator
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.data.encoded_set import StepBatch
from kfp_llm_tuning.components.data.token_layouts import collate
from kfp_llm_tuning.components.data.token_sequence import TokenSequence
from kfp_llm_tuning.components.models.label_only_loss import (
    label_logits,
    label_loss,
    plan_forward,
)

logger = logging.getLogger(__name__)

# Widths that are multiples of it use the tensor cores of GPUs.
_CUDA_WIDTH = 8


class MicroBatches:
    """Forward and backward passes of a run.

    Sums are three numbers: the loss, the correct predictions, the predictions, each summed over the
    label tokens that this process has seen.

    Attributes:
        size: Examples in one forward pass; is halved where memory ends.
    """

    def __init__(self, model: torch.nn.Module, accelerator: Accelerator, size: int) -> None:
        """Tries out how the model can be run; see ``label_only_loss``.

        Args:
            model: The model, not wrapped for several processes.
            accelerator: Runs the backward passes.
            size: Examples in one forward pass to begin with.
        """
        self.size = size
        self._accelerator = accelerator
        self._plan = plan_forward(model)
        logger.info("Forward pass: %s.", self._plan.describe())

    def zero_sums(self) -> torch.Tensor:
        """Makes sums of nothing."""
        return torch.zeros(3, dtype=torch.float64, device=self._accelerator.device)

    def train(self, model: torch.nn.Module, step: StepBatch) -> torch.Tensor:
        """Adds the gradients of one step's batch; cuts finer where memory ends.

        Args:
            model: The model, wrapped for several processes.
            step: This process's share of the batch.

        Returns:
            Its sums.

        Raises:
            UserError: If not even one example fits in memory.
        """
        while True:
            try:
                return self._accumulate(model, step)
            except RuntimeError as error:
                if not should_reduce_batch_size(error):
                    raise
                self._cut_finer(error)
            model.zero_grad()
            clear_device_cache(garbage_collection=True)

    def evaluate(
        self, model: torch.nn.Module, parts: Iterable[Sequence[TokenSequence]]
    ) -> torch.Tensor:
        """Runs sequences without gradients.

        Args:
            model: The model.
            parts: Examples of one forward pass each.

        Returns:
            Their sums.
        """
        model.eval()
        sums = self.zero_sums()
        with torch.no_grad():
            for sequences in parts:
                loss, correct, count = self._forward(model, sequences)
                sums += torch.stack((loss.double(), correct.double(), count))
        model.train()
        return sums

    def _accumulate(self, model: torch.nn.Module, step: StepBatch) -> torch.Tensor:
        sums = self.zero_sums()
        # DistributedDataParallel averages gradients over processes; the loss is a sum.
        scale = self._accelerator.num_processes / step.label_tokens
        parts = _parts(step.sequences, self.size)
        for number, part in enumerate(parts, start=1):
            last = number == len(parts)
            with contextlib.nullcontext() if last else self._accelerator.no_sync(model):
                loss, correct, count = self._forward(model, part)
                self._accelerator.backward(loss * scale)
            sums += torch.stack((loss.detach().double(), correct.double(), count))
        return sums

    def _forward(
        self, model: torch.nn.Module, sequences: Sequence[TokenSequence]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        device = self._accelerator.device
        width = _CUDA_WIDTH if device.type == "cuda" else 1
        batch = collate(sequences, multiple_of=width).to(device)
        loss, correct = label_loss(label_logits(model, batch, self._plan), batch.targets)
        count = torch.tensor(len(batch.targets), dtype=torch.float64, device=loss.device)
        return loss, correct, count

    def _cut_finer(self, error: RuntimeError) -> None:
        if self.size == 1 or self._accelerator.num_processes > 1:
            raise UserError(
                Problem(
                    f"out of memory with micro batches of {self.size} "
                    f"({str(error).splitlines()[0]}).",
                    "micro_batch_size",
                    fix="Lower micro_batch_size or the token limits, tune adapters, "
                    "or take a machine with more memory.",
                )
            ) from error
        self.size = max(self.size // 2, 1)
        logger.warning(
            "Out of memory: micro batches of %d from here on; the batch stays what it is.",
            self.size,
        )


def _parts(sequences: Sequence[TokenSequence], size: int) -> list[Sequence[TokenSequence]]:
    """Cuts sequences into parts of nearly equal number, none larger than ``size``."""
    count = math.ceil(len(sequences) / size)
    base, longer = divmod(len(sequences), count)
    parts, start = [], 0
    for number in range(count):
        end = start + base + (number < longer)
        parts.append(sequences[start:end])
        start = end
    return parts
