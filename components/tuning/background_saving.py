"""Writes checkpoints in a thread while training goes on, from copies in host memory."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class BackgroundSaving:
    """Runs one writing at a time; whoever begins the next waits for the one before.

    What a writing raises is raised where it is waited for.
    """

    def __init__(self, copied: Callable[[Any], Any]) -> None:
        """Starts no thread before the first writing.

        Args:
            copied: Copies states into host memory; gives None where that has no room.
        """
        self._copied = copied
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._under_way: Future[None] | None = None

    def start(self, states: Any, write: Callable[[Any], None]) -> None:
        """Begins a writing, or does it where host memory has no room for copies.

        Args:
            states: What is trained. The writing before must have been waited for.
            write: Writes them, or copies of them.

        Raises:
            Exception: What the writing raised, where it was done at once.
        """
        copies = self._copied(states)
        if copies is not None:
            self._under_way = self._worker.submit(write, copies)
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
