"""Writes checkpoints in a thread while training goes on, from copies in host memory."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch

from kfp_llm_tuning.components.models.sharded_model import shard_of
from kfp_llm_tuning.components.tuning.torch_engine.memory import available_bytes

# Host memory that must be left free beside the copies, as a multiple of their size.
_ROOM = 2


class BackgroundSaving:
    """Runs one writing at a time; whoever begins the next waits for the one before.

    What a writing raises is raised where it is waited for.
    """

    def __init__(self) -> None:
        """Starts no thread before the first writing."""
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._under_way: Future[None] | None = None

    def start(self, states: Any, write: Callable[[Any], None]) -> None:
        """Begins a writing, or does it where host memory has no room for copies.

        Args:
            states: Nested dicts and lists of tensors. The writing before must have been waited for.
            write: Writes them, or copies of them.

        Raises:
            Exception: What the writing raised, where it was done at once.
        """
        if fits_in_host_memory(states):
            self._under_way = self._worker.submit(write, host_copy(states))
            return
        write(states)
        self._under_way = Future()
        self._under_way.set_result(None)

    def finished(self, *, wait: bool) -> bool:
        """Tells, once, that a writing has ended.

        Args:
            wait: Whether to wait for it; else one that is under way has not ended.

        Returns:
            Whether one has ended since the last call that said so.

        Raises:
            Exception: What it raised.
        """
        if self._under_way is None or not (wait or self._under_way.done()):
            return False
        ended, self._under_way = self._under_way, None
        ended.result()
        return True

    def close(self) -> None:
        """Waits for what is under way, and takes no more."""
        self._worker.shutdown(wait=True)


def fits_in_host_memory(states: Any) -> bool:
    """Tells whether there is room for copies of all tensors in nested dicts and lists."""
    size: int = sum(shard_of(tensor).nbytes for tensor in _tensors(states))
    return _ROOM * size <= available_bytes(torch.device("cpu"))


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
