"""Counts steps of the tuner's own forward and backward passes on models without weights."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from counted_kernels import document_attention, fused_llama
from counted_operations import Gpu, OperationCounter, Work
from fake_models import fake_model
from model_shapes import make_config

from kfp_llm_tuning.components.data.encoded_set import StepBatch
from kfp_llm_tuning.components.data.token_layouts import EndToEnd, PaddedRows
from kfp_llm_tuning.components.data.token_sequence import TokenSequence
from kfp_llm_tuning.components.models.document_attention import Documents, register
from kfp_llm_tuning.components.models.label_only_loss import ForwardPlan, unwrapped
from kfp_llm_tuning.components.models.token_batch import TokenBatch
from kfp_llm_tuning.components.tuning.torch_engine.memory import (
    TokenBudget,
    fitting_budget,
    measure_pass,
    training_bytes,
)
from kfp_llm_tuning.components.tuning.torch_engine.micro_batches import MicroBatches

# Bytes that a step moves for each trained weight, in float32: fused AdamW reads weight, gradient
# and two moments and writes all but the gradient, clipping reads the gradient twice and writes it,
# and it is set to zero.
_OPTIMISER_BYTES = 28 + 12 + 4
_NO_LIMIT = 2**62


@dataclass(frozen=True)
class Way:
    """How steps are worked.

    Attributes:
        packed: Whether sequences lie end to end; else they are padded rows.
        fused: Whether norms, rotary positions and gates are one operation each, and adapters
            take their input as it is.
    """

    packed: bool
    fused: bool = False


@dataclass(frozen=True)
class StepCount:
    """What a step asks of the GPU.

    Attributes:
        forward: Its forward passes.
        backward: Its backward passes.
        trained: Weights that are trained.
    """

    forward: Work
    backward: Work
    trained: float

    def seconds(self, gpu: Gpu) -> float:
        """Predicts how long it takes: of GPU and host the slower one counts."""
        passes = [
            max(self.forward.seconds, self.forward.operations * gpu.forward_start),
            max(self.backward.seconds, self.backward.operations * gpu.backward_start),
        ]
        return sum(passes) + self.trained * _OPTIMISER_BYTES / gpu.memory + gpu.step

    def recomputing(self, every: int) -> StepCount:
        """Adds the forward passes of every so manieth layer to the backward ones; 0 is none."""
        again = self.forward * (1 / every if every else 0)
        return StepCount(self.forward, self.backward + again, self.trained)

    def __add__(self, more: StepCount) -> StepCount:
        """Adds another one's; of weights too."""
        return StepCount(
            self.forward + more.forward, self.backward + more.backward, self.trained + more.trained
        )

    def __mul__(self, times: float) -> StepCount:
        """Takes it so many times."""
        return StepCount(self.forward * times, self.backward * times, self.trained * times)


def count_step(
    shape: str, tuning: str, way: Way, passes: Sequence[Sequence[TokenSequence]], gpu: Gpu
) -> StepCount:
    """Counts a step.

    All layers of a model are alike: counted are models of one layer and of two.

    Args:
        shape: A name of ``SHAPES``.
        tuning: "adapter" or "full".
        way: How it is worked.
        passes: What each forward pass of it reads.
        gpu: Whose rates are taken.
    """
    layers = make_config(shape).num_hidden_layers
    one, two = (count_layers(shape, n, tuning, way, passes, gpu) for n in (1, 2))
    return one * (2 - layers) + two * (layers - 1)


def count_layers(
    shape: str,
    layers: int,
    tuning: str,
    way: Way,
    passes: Sequence[Sequence[TokenSequence]],
    gpu: Gpu,
) -> StepCount:
    """Counts a step of a model with so many layers; arguments as of :func:`count_step`."""
    counter = OperationCounter(gpu)
    accelerator = _CountingAccelerator(counter)
    lengths: list[int] = []
    with fake_model(shape, layers, tuning) as model, _worked(model, way, lengths):
        plan = ForwardPlan(label_only=True, attention_mask=False, packed=way.packed)
        micro_batches = MicroBatches(accelerator, plan, TokenBudget(_NO_LIMIT, _NO_LIMIT))
        total = sum(one.label_count for part in passes for one in part)
        for part in passes:
            # Longest first, as the micro batches are filled.
            lengths[:] = sorted((len(one.input_ids) - 1 for one in part), reverse=True)
            with counter:
                micro_batches.train(model, StepBatch(list(part), total, sum(lengths)))
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return StepCount(counter.work, accelerator.backward_work, trained)


def token_budget(shape: str, tuning: str, way: Way, longest: int, gpu: Gpu) -> TokenBudget:
    """Says how many tokens the tuner takes at once, by its own measure.

    Args:
        shape: A name of ``SHAPES``.
        tuning: "adapter" or "full".
        way: How steps are worked.
        longest: Tokens of the longest row of the set: layers are rather recomputed than that it
            does not fit.
        gpu: Whose memory is taken.

    Returns:
        At least one token: a model that does not fit is not refused.
    """
    layout = EndToEnd() if way.packed else PaddedRows()
    lengths: list[int] = []

    def batch(tokens: int) -> TokenBatch:
        lengths[:] = [tokens]
        return layout.collate([TokenSequence.of_answer(np.zeros(tokens + 1, np.int32), tokens)])

    layers = make_config(shape).num_hidden_layers
    with (
        fake_model(shape, layers, tuning) as model,
        _worked(model, way, lengths),
        torch.autocast("cpu", torch.bfloat16),
    ):
        plan = ForwardPlan(label_only=True, attention_mask=False, packed=way.packed)
        needs = measure_pass(model, plan, batch, bytes_per_value=2)
        held = sum(p.numel() * p.element_size() for p in model.parameters())
        room = gpu.bytes - held - training_bytes(model)
        return fitting_budget(needs, room, wanted=longest)


@contextlib.contextmanager
def _worked(model: Any, way: Way, lengths: list[int]) -> Any:
    """Lets a model be worked in a way; ``lengths`` are those of the documents of the next pass."""
    if way.packed:

        def kernel(query: Any, key: Any, value: Any, documents: Documents) -> torch.Tensor:
            attended: torch.Tensor = document_attention(query, key, value, list(lengths))
            return attended

        unwrapped(model).set_attn_implementation(register("counted", kernel))
    if not way.fused:
        yield
        return
    from peft.helpers import disable_input_dtype_casting

    with fused_llama(), disable_input_dtype_casting(model):
        yield


class _CountingAccelerator(Accelerator):
    """Computes in bf16 as on a GPU, and counts backward passes apart from all else."""

    def __init__(self, counter: OperationCounter) -> None:
        super().__init__(cpu=True, mixed_precision="bf16")
        self.backward_work = Work()
        self._counter = counter

    def backward(self, loss: torch.Tensor, **options: Any) -> None:
        before, self._counter.work = self._counter.work, Work()
        super().backward(loss, **options)
        self.backward_work += self._counter.work
        self._counter.work = before
