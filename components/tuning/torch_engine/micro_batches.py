"""Runs batches through the model in parts that fit in memory, and sums what the metrics need."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from numpy.typing import NDArray

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.data.encoded_set import EncodedSet, StepBatch
from kfp_llm_tuning.components.data.step_sampler import evaluation_plan
from kfp_llm_tuning.components.data.token_layouts import EndToEnd, PaddedRows, TokenLayout
from kfp_llm_tuning.components.data.token_sequence import TokenSequence
from kfp_llm_tuning.components.models.label_only_loss import ForwardPlan, label_loss
from kfp_llm_tuning.components.models.sharded_model import average_gradients, is_sharded, settle
from kfp_llm_tuning.components.tuning.torch_engine.memory import TokenBudget

logger = logging.getLogger(__name__)

# Widths that are multiples of it use the tensor cores of GPUs.
_CUDA_WIDTH = 8


class MicroBatches:
    """Forward and backward passes of a run.

    Sums are three numbers: the loss, the correct predictions, the predictions, each summed over the
    label tokens that this process has seen. They stay on the device: nothing here waits for it.

    Attributes:
        layout: How sequences are laid out in one forward pass.
        tokens: Tokens in one forward pass of training; is lowered where memory ends.
        evaluation_tokens: The same of an evaluation.
    """

    def __init__(self, accelerator: Accelerator, plan: ForwardPlan, budget: TokenBudget) -> None:
        """Chooses the layout.

        Args:
            accelerator: Runs the backward passes.
            plan: How the model is called.
            budget: Tokens in one forward pass to begin with.
        """
        self.tokens = budget.training
        self.evaluation_tokens = budget.evaluation
        self._accelerator = accelerator
        self._plan = plan
        width = _CUDA_WIDTH if accelerator.device.type == "cuda" else 1
        self.layout: TokenLayout = EndToEnd() if plan.packed else PaddedRows(multiple_of=width)

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
            UserError: If not even one sequence fits in memory.
        """
        lengths = np.array([len(sequence.input_ids) for sequence in step.sequences])
        while True:
            plan = self.layout.fill(lengths, self.tokens)
            if is_sharded(model):
                shares = (self.layout.fill(np.array(one), self.tokens) for one in step.lengths)
                plan = _padded(plan, shares)
            try:
                return self._accumulate(model, step, plan)
            except RuntimeError as error:
                self.tokens = self._finer(lengths, plan, error)
            model.zero_grad()
            clear_device_cache(garbage_collection=True)

    def evaluate(self, model: torch.nn.Module, dataset: EncodedSet) -> torch.Tensor:
        """Runs this process's share of a set without gradients; cuts finer where memory ends.

        Args:
            model: The model.
            dataset: At least one sequence.

        Returns:
            Its sums.

        Raises:
            UserError: If not even one sequence fits in memory.
        """
        model.eval()
        try:
            while True:
                plan = self._evaluation_plan(model, dataset)
                try:
                    return self._evaluate(model, dataset, plan)
                except RuntimeError as error:
                    self.evaluation_tokens = self._finer(dataset.lengths, plan, error)
                clear_device_cache(garbage_collection=True)
        finally:
            model.train()
            settle(model)

    def _evaluation_plan(
        self, model: torch.nn.Module, dataset: EncodedSet
    ) -> list[NDArray[np.int64]]:
        processes = self._accelerator.num_processes

        def share(process: int) -> list[NDArray[np.int64]]:
            return evaluation_plan(dataset, self.layout, self.evaluation_tokens, process, processes)

        plan = share(self._accelerator.process_index)
        return _padded(plan, map(share, range(processes))) if is_sharded(model) else plan

    @torch.no_grad()
    def _evaluate(
        self, model: torch.nn.Module, dataset: EncodedSet, plan: Sequence[NDArray[np.int64]]
    ) -> torch.Tensor:
        sums = self.zero_sums()
        for rows in plan:
            sequences = [dataset.sequence(row) for row in rows.tolist()]
            _, found = self._forward(model, sequences or [dataset.sequence(0).part(0, 0)])
            sums += found
        return sums

    def _accumulate(
        self, model: torch.nn.Module, step: StepBatch, plan: Sequence[NDArray[np.int64]]
    ) -> torch.Tensor:
        sums = self.zero_sums()
        # Gradients are averaged over processes, sharded or not; the loss is a sum.
        scale = self._accelerator.num_processes / step.label_tokens
        for number, rows in enumerate(plan, start=1):
            last = number == len(plan)
            with contextlib.nullcontext() if last else self._accelerator.no_sync(model):
                sequences = [step.sequences[row] for row in rows.tolist()]
                loss, found = self._forward(model, sequences or [step.sequences[0].part(0, 0)])
                self._accelerator.backward(loss * scale)
            sums += found
        if is_sharded(model):
            average_gradients(model)
        return sums

    def _forward(
        self, model: torch.nn.Module, sequences: Sequence[TokenSequence]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Gives the loss, to be derived, and the sums."""
        batch = self.layout.collate(sequences).to(self._accelerator.device)
        with self._accelerator.autocast():
            loss, correct = label_loss(model, batch, self._plan)
        # Filled in on the device: a copy from here would wait for its queue.
        count = torch.full((), len(batch.targets), dtype=torch.float64, device=loss.device)
        return loss, torch.stack((loss.detach().double(), correct.double(), count))

    def _finer(
        self, lengths: NDArray[np.int64], plan: Sequence[NDArray[np.int64]], error: RuntimeError
    ) -> int:
        """Halves the tokens of a forward pass; raises where none can be made smaller."""
        if not should_reduce_batch_size(error):
            raise error
        # Other processes would go on with what this one begins anew.
        alone = all(len(rows) <= 1 for rows in plan)
        if alone or self._accelerator.num_processes > 1:
            raise UserError(
                Problem(
                    f"out of memory with {_most(self.layout, lengths, plan)} tokens in one forward "
                    f"pass{', a sequence each' if alone else ''} ({str(error).splitlines()[0]}).",
                    "micro_batch_tokens",
                    fix="Lower micro_batch_tokens or the token limits, tune adapters, "
                    "or take a machine with more memory.",
                )
            ) from error
        finer = max(_most(self.layout, lengths, plan) // 2, 1)
        logger.warning(
            "Out of memory: %d tokens in one forward pass from here on; the batch stays what it "
            "is.",
            finer,
        )
        return finer


def _most(
    layout: TokenLayout, lengths: NDArray[np.int64], plan: Sequence[NDArray[np.int64]]
) -> int:
    """Counts the tokens of the largest forward pass."""
    return max(
        layout.tokens(len(rows), int(lengths[rows].max()), int(lengths[rows].sum()))
        for rows in plan
        if len(rows)
    )


def _padded(
    plan: Sequence[NDArray[np.int64]], of_all: Iterable[Sequence[NDArray[np.int64]]]
) -> list[NDArray[np.int64]]:
    """Adds passes of no row: processes that share a model run equally many, or wait for ever.

    Args:
        plan: This process's passes.
        of_all: Those of every process.
    """
    missing = max(map(len, of_all)) - len(plan)
    return [*plan, *(np.zeros(0, dtype=np.int64) for _ in range(missing))]
