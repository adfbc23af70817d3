"""An asyncio event loop in a thread of its own, used from any other thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

CLOSED = "The engine is closed."

_Result = TypeVar("_Result")


class LoopThread:
    """Runs coroutines until it is closed."""

    def __init__(self, name: str) -> None:
        """Starts the thread.

        Args:
            name: The thread's.
        """
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether work can be started."""
        return not self._closed

    def start(self, work: Coroutine[Any, Any, _Result]) -> Future[_Result]:
        """Starts work; from any thread.

        Args:
            work: Cancelled where it has not ended when this is closed.

        Returns:
            Its result; cancelling it cancels the work.

        Raises:
            RuntimeError: If this is closed.
        """
        with self._closing:
            if self._closed:
                work.close()
                raise RuntimeError(CLOSED)
            return asyncio.run_coroutine_threadsafe(self._tracked(work), self._loop)

    def run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Does work while the caller waits; not from the thread itself.

        Args:
            work: What to do.

        Returns:
            Its result.

        Raises:
            RuntimeError: If this is closed, or was before the work was done.
        """
        try:
            return self.start(work).result()
        except CancelledError:
            raise RuntimeError(CLOSED) from None

    def close(self, finish: Callable[[], None] = lambda: None) -> None:
        """Cancels all work and ends the thread; not from the thread itself.

        Args:
            finish: Called when nothing is left to do, in the caller's thread; the loop still runs.
        """
        with self._closing:
            if self._closed:
                return
            self._closed = True
        self._cancel(lambda: self._tasks)
        # What the work has started in the loop.
        self._cancel(asyncio.all_tasks)
        try:
            finish()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _tracked(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            return await work
        finally:
            self._tasks.discard(task)

    def _cancel(self, which: Callable[[], set[asyncio.Task[Any]]]) -> None:
        async def cancel() -> None:
            tasks = which() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(cancel(), self._loop).result()
