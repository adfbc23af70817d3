"""Asks to stop early: a signal, or the end of the run that started this process."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from kfp_llm_tuning.components.tuning import processes

logger = logging.getLogger(__name__)

# Set by the local runner to its own process id, so that no tuner outlives its run.
RUN_PID_VARIABLE = "KFP_LLM_TUNING_RUN_PID"
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
    """Remembers that this process was asked to stop; a second signal ends it at once.

    Attributes:
        reason: Why to stop; empty while nothing asks for it.
    """

    def __init__(self) -> None:
        """Starts without a reason."""
        self.reason = ""
        self._run_pid = int(os.environ.get(RUN_PID_VARIABLE) or 0)

    @property
    def requested(self) -> bool:
        """Whether to stop after this step."""
        if not self.reason and self._run_pid and not _is_alive(self._run_pid):
            self.reason = f"the run that started this (process {self._run_pid}) is gone"
        if not self.reason and processes.is_abandoned():
            self.reason = "the process that started this one as one of several is gone"
        return bool(self.reason)

    def requested_of_any(self) -> bool:
        """Tells whether any process of the run is asked to stop; every process must call it."""
        requested = processes.any_of_all(self.requested)
        if requested and not self.reason:
            self.reason = "another process was interrupted"
        return requested

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Handles SIGTERM and SIGINT inside the block; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {number: signal.signal(number, self._receive) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        self.reason = f"received {signal.Signals(number).name}"
        signal.signal(number, signal.SIG_DFL)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
