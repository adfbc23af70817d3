"""Counts what a piece of work asks of a GPU, operation by operation, as torch dispatches it.

Run under torch's fake tensors nothing is computed and nothing is held: a model of any size is
counted on a laptop. An operation takes as long as its arithmetic or its memory traffic needs,
whichever is longer (Williams et al. 2009, "Roofline: an insightful visual performance model"), and
the host takes its time to start each.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kfp_llm_tuning.components.models.devices import device_named, host_times

# Neither of them moves data, though their schemas do not say so.
_FREE = {"_unsafe_view", "empty", "empty_like", "empty_strided", "lift_fresh", "new_empty"}
_PRODUCTS = {"addmm", "baddbmm", "bmm", "mm"}
# Backward passes of attention make five products where forward ones make two (Dao 2023,
# "FlashAttention-2", section 4.1).
_BACKWARD_OF_ATTENTION = 2.5


@dataclass(frozen=True)
class Gpu:
    """What a GPU and its host reach.

    Attributes:
        name: Names it.
        bytes: Its memory.
        peak: Operations a second of its data sheet: what published shares are of.
        products: Operations a second of large matrix products.
        attention: Operations a second of flash attention.
        memory: Bytes a second.
        forward_start: Seconds in which Python starts an operation of a forward pass.
        backward_start: Seconds in which autograd's engine starts one.
        step: Seconds of a step's rest on the host: sampler, clipping, optimiser, callbacks.
    """

    name: str
    bytes: float
    peak: float
    products: float
    attention: float
    memory: float
    forward_start: float
    backward_start: float
    step: float


def gpu_named(name: str, accelerator_type: str) -> Gpu:
    """Takes a GPU as `plan` and `models available` reckon with it: devices.yaml.

    None of its rates was measured for this project: predictions are good to a fifth or so, ratios
    of two to less.

    Args:
        name: What results call it.
        accelerator_type: In Vertex AI's API.
    """
    device = device_named(accelerator_type)
    assert device
    return Gpu(
        name,
        bytes=device.memory,
        peak=device.peak,
        products=device.products,
        attention=device.attention,
        memory=device.bandwidth,
        **host_times(),
    )


H200 = gpu_named("H200", "NVIDIA_H200_141GB")


@dataclass(frozen=True)
class Work:
    """Sums over operations.

    Attributes:
        operations: How many are started.
        arithmetic: Floating point operations of matrix products and attention.
        products: Seconds in matrix products.
        attention: Seconds in attention.
        other: Seconds in all else.
    """

    operations: float = 0.0
    arithmetic: float = 0.0
    products: float = 0.0
    attention: float = 0.0
    other: float = 0.0

    def __add__(self, more: Work) -> Work:
        """Adds what is done besides."""
        return Work(*(a + b for a, b in zip(astuple(self), astuple(more), strict=True)))

    def __mul__(self, times: float) -> Work:
        """Does it so many times."""
        return Work(*(value * times for value in astuple(self)))

    @property
    def seconds(self) -> float:
        """Seconds of the GPU."""
        return self.products + self.attention + self.other


class OperationCounter(TorchDispatchMode):
    """Adds up the work of every operation that is dispatched while it is entered."""

    def __init__(self, gpu: Gpu) -> None:
        """Starts with no work.

        Args:
            gpu: Whose rates are taken.
        """
        super().__init__()
        self.work = Work()
        self._gpu = gpu

    def __torch_dispatch__(  # noqa: D105 - torch's own name
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if func.namespace != "prim" and name not in _FREE and not _is_view(func):
            self.work += self._work_of(name, tree_leaves((args, kwargs)), _tensors(out))
        return out

    def _work_of(self, name: str, arguments: list[Any], outputs: list[Any]) -> Work:
        inputs = _tensors(arguments)
        traffic = sum(t.numel() * t.element_size() for t in (*inputs, *outputs))
        moving = traffic / self._gpu.memory
        if name in _PRODUCTS:
            arithmetic = product_operations(*(tuple(t.shape) for t in inputs[-2:]))
            return Work(1, arithmetic, products=max(arithmetic / self._gpu.products, moving))
        if "attention" in name:
            arithmetic = attention_operations(name, arguments)
            return Work(1, arithmetic, attention=max(arithmetic / self._gpu.attention, moving))
        return Work(1, other=moving)


def product_operations(left: tuple[int, ...], right: tuple[int, ...]) -> int:
    """Counts a matrix product's.

    Args:
        left: Its shape: (..., rows, inner).
        right: Its shape: (..., inner, columns).
    """
    return 2 * math.prod(left) * right[-1]


def attention_operations(name: str, arguments: list[Any]) -> float:
    """Counts those of causal attention, which leaves half of the scores out.

    Args:
        name: Of the operation; that of a backward pass says so.
        arguments: Its arguments. The query's shape is (batch, heads, length, size of a head), or
            (tokens, heads, size of a head) where the lengths of documents are among the arguments.
    """
    is_backward = "backward" in name
    query = _tensors(arguments)[1 if is_backward else 0]
    if query.ndim == 4:
        batch, heads, length, size = query.shape
        pairs = batch * length**2
    else:
        _, heads, size = query.shape
        pairs = sum(value**2 for value in arguments if isinstance(value, int))
    forward = 4 * heads * size * pairs / 2
    return forward * (_BACKWARD_OF_ATTENTION if is_backward else 1)


def _tensors(*values: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]


def _is_view(func: Any) -> bool:
    aliases = [result.alias_info for result in func._schema.returns]
    return any(alias is not None and not alias.is_write for alias in aliases)
