"""Stand-ins for fused kernels, for use under fake tensors: each is one operation, as on a GPU.

A fused kernel reads what goes in and writes what comes out, once. That is all that the roofline
must know of it, and these do no more: they compute nothing. The first is attention by document; the
others are the three that Liger's kernels take the place of in a Llama.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from transformers.models.llama import modeling_llama


def _operation(function: Callable[..., Any]) -> Any:
    """Makes an operation of a function that gives tensors of the right shapes and types."""
    name = f"counted::{function.__name__.strip('_')}"
    operation = torch.library.custom_op(name, function, mutates_args=())
    operation.register_fake(function)
    return operation


@_operation
def document_attention(query: Tensor, key: Tensor, value: Tensor, lengths: list[int]) -> Tensor:
    """Attends within documents of these lengths; shapes (tokens, heads, size of a head)."""
    return torch.empty_like(query)


@_operation
def _document_attention_backward(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lengths: list[int]
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


@_operation
def _rms_norm(hidden: Tensor, weight: Tensor) -> Tensor:
    return torch.empty_like(hidden)


@_operation
def _rms_norm_backward(gradient: Tensor, hidden: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(hidden), torch.empty_like(weight)


@_operation
def _rotary(query: Tensor, key: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(query), torch.empty_like(key)


@_operation
def _swiglu(gate: Tensor, up: Tensor) -> Tensor:
    return torch.empty_like(gate)


@_operation
def _swiglu_backward(gradient: Tensor, gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(gate), torch.empty_like(up)


def _keep(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(*(value for value in inputs if isinstance(value, Tensor)))


def _keep_documents(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(*inputs[:3], output)
    ctx.lengths = inputs[3]


document_attention.register_autograd(
    lambda ctx, gradient: (
        *_document_attention_backward(gradient, *ctx.saved_tensors, ctx.lengths),
        None,
    ),
    setup_context=_keep_documents,
)
_rms_norm.register_autograd(
    lambda ctx, gradient: _rms_norm_backward(gradient, *ctx.saved_tensors), setup_context=_keep
)
_rotary.register_autograd(
    # Turns back by the same operation.
    lambda ctx, query, key: (*_rotary(query, key, *ctx.saved_tensors[2:]), None, None),
    setup_context=_keep,
)
_swiglu.register_autograd(
    lambda ctx, gradient: _swiglu_backward(gradient, *ctx.saved_tensors), setup_context=_keep
)


@contextlib.contextmanager
def fused_llama() -> Iterator[None]:
    """Lets every Llama that is run meanwhile norm, rotate and gate by one operation each."""

    def rotate(query: Tensor, key: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        return _rotary(query, key, cos, sin)

    def norm(self: Any, hidden: Tensor) -> Tensor:
        return _rms_norm(hidden, self.weight)

    def gate(self: Any, hidden: Tensor) -> Tensor:
        return self.down_proj(_swiglu(self.gate_proj(hidden), self.up_proj(hidden)))

    replaced = (
        (modeling_llama, "apply_rotary_pos_emb", rotate),
        (modeling_llama.LlamaRMSNorm, "forward", norm),
        (modeling_llama.LlamaMLP, "forward", gate),
    )
    usual = [(owner, name, getattr(owner, name)) for owner, name, _ in replaced]
    try:
        for owner, name, fused in replaced:
            setattr(owner, name, fused)
        yield
    finally:
        for owner, name, before in usual:
            setattr(owner, name, before)
