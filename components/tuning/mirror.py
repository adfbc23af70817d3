"""Copies checkpoints and metrics to their URIs in the background, while training goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from transformers import TrainerCallback

logger = logging.getLogger(__name__)


class Mirror(TrainerCallback):
    """Copies what the main process has written; a copy that fails is a warning, not the end."""

    def __init__(
        self,
        checkpoints: Sequence[Callable[[], None]] = (),
        metrics: Sequence[Callable[[], None]] = (),
    ) -> None:
        """Names what is copied.

        Args:
            checkpoints: Copies, called after every checkpoint.
            metrics: Copies, called after every checkpoint and every evaluation.
        """
        self._checkpoints = checkpoints
        self._metrics = metrics
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="mirror")
        self._under_way: Future[None] | None = None

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Copies all; waits for the copy before, since its files may be deleted from now on."""
        if state.is_world_process_zero:
            self.wait()
            self._start([*self._checkpoints, *self._metrics])

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Copies the metrics, unless a copy is under way: the next one has them too."""
        if state.is_world_process_zero and (self._under_way is None or self._under_way.done()):
            self._start(self._metrics)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Waits, in every process: the first that ends takes the others with it."""
        self.wait()
        if args.world_size > 1:
            torch.distributed.barrier()

    def wait(self) -> None:
        """Waits until nothing is under way."""
        if self._under_way is not None:
            self._under_way.result()

    def _start(self, copies: Sequence[Callable[[], None]]) -> None:
        if copies:
            self._under_way = self._worker.submit(_copy, copies)


def _copy(copies: Sequence[Callable[[], None]]) -> None:
    for copy in copies:
        try:
            copy()
        except Exception as error:
            logger.warning(
                "A copy of checkpoints or metrics failed (%s: %s); training goes on.",
                type(error).__name__,
                error,
            )
