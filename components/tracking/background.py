"""Tracking in a thread of its own: a tracker that is slow or down never stops or slows the work.

Importing MLflow takes seconds, a server's answer may take a minute. Whoever works hands over what
is to be done and goes on; what could not be done is told once, as a warning.
"""

from __future__ import annotations

import importlib
import logging
import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from kfp_llm_tuning.components.common.credentials import hide_credentials

Opened = TypeVar("Opened")

_logger = logging.getLogger(__name__)


class BackgroundTracker(Generic[Opened]):
    """What is opened and written to by another thread, one action after the other.

    The thread dies with the process: nobody waits for it who does not call ``close``.
    """

    def __init__(
        self,
        title: str,
        open_it: Callable[[], Opened],
        warn: Callable[[str], object] = _logger.warning,
    ) -> None:
        """Starts the thread, in which it is opened for the first action.

        Args:
            title: What people call the tracker.
            open_it: Opens what the actions are given; tried again for the next one where it fails.
            warn: Takes the first thing that went wrong, as a sentence; called by the thread.
        """
        self._title = title
        self._open = open_it
        self._warn = warn
        self._opened: Opened | None = None
        self._told = False
        self._actions: queue.SimpleQueue[Callable[[Opened], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=f"track-{title}", daemon=True)
        # Two threads that begin with different parts of it at once find it half imported: trackers
        # need it, and so do the clients of Kubernetes and of Google that the work may import.
        importlib.import_module("requests")
        self._thread.start()

    def do(self, action: Callable[[Opened], None]) -> None:
        """Hands over what is to be done."""
        self._actions.put(action)

    def close(self, seconds: float) -> bool:
        """Ends the thread when all is done.

        Args:
            seconds: How long to wait for it at most.

        Returns:
            Whether all was tried.
        """
        self._actions.put(None)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (action := self._actions.get()) is not None:
            try:
                if self._opened is None:
                    self._opened = self._open()
                action(self._opened)
            # Whatever a library, a database or a network does: the work does not depend on it.
            except Exception as error:
                self._tell(error)

    def _tell(self, error: Exception) -> None:
        if self._told:
            return
        self._told = True
        reason = hide_credentials(f"{type(error).__name__}: {error}").partition("\n")[0]
        self._warn(f"{self._title} does not follow this run as it goes on: {reason}")
