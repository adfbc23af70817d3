"""Copies in host memory of what a run trains, for the thread that writes checkpoints."""

from __future__ import annotations

from typing import Any

import torch

from kfp_llm_tuning.components.models.sharded_model import shard_of
from kfp_llm_tuning.components.tuning.torch_engine.memory import available_bytes

# Host memory that must be left free beside the copies, as a multiple of their size.
_ROOM = 2


def fits_in_host_memory(states: Any) -> bool:
    """Tells whether there is room for copies of all tensors in nested dicts and lists."""
    size: int = sum(shard_of(tensor).nbytes for tensor in _tensors(states))
    return _ROOM * size <= available_bytes(torch.device("cpu"))


def copied_where_it_fits(states: Any) -> Any:
    """Copies as :func:`host_copy`; gives None where host memory has no room for copies."""
    return host_copy(states) if fits_in_host_memory(states) else None


def host_copy(states: Any) -> Any:
    """Copies nested dicts and lists, every tensor into host memory.

    Args:
        states: As of ``state_dict()``.

    Returns:
        The same structure, which no optimiser step changes; what shares memory shares it still.
    """
    copies: dict[tuple[Any, ...], torch.Tensor] = {}

    def copy(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            shard = shard_of(value)
            place = (shard.device, shard.data_ptr(), shard.shape, shard.stride(), shard.dtype)
            if place not in copies or not shard.numel():
                copies[place] = value.detach().to("cpu", copy=True)
            return copies[place]
        if isinstance(value, dict):
            return type(value)((key, copy(one)) for key, one in value.items())
        return [copy(one) for one in value] if isinstance(value, list) else value

    return copy(states)


def _tensors(states: Any) -> list[torch.Tensor]:
    if isinstance(states, torch.Tensor):
        return [states]
    if isinstance(states, dict):
        states = list(states.values())
    return [t for one in states for t in _tensors(one)] if isinstance(states, list) else []
