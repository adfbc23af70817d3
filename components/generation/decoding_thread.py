"""The thread in which an engine answers what others submit."""

from __future__ import annotations

import logging
import threading

from kfp_llm_tuning.components.generation.decoding import Decoder, Row

_log = logging.getLogger(__name__)


class DecodingThread:
    """Runs a decoder while it has rows; started by the first of them."""

    def __init__(self, decoder: Decoder) -> None:
        """Starts nothing yet.

        Args:
            decoder: Used by this thread alone from now on.
        """
        self._decoder = decoder
        self._arrived: list[Row] = []
        self._closed = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @property
    def alive(self) -> bool:
        """Whether rows that are submitted will be answered."""
        ended = self._thread is not None and not self._thread.is_alive()
        return not (self._closed or ended or self._decoder.broken)

    def submit(self, row: Row) -> None:
        """Hands a row over; from any thread.

        Args:
            row: A new one.

        Raises:
            RuntimeError: If the thread has ended, or the device has failed.
        """
        with self._changed:
            if not self.alive:
                raise RuntimeError("The engine is closed or broken.")
            self._arrived.append(row)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="decoding", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Ends the thread; rows under way hear of an error. Returns when it has ended."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while self._collect():
            try:
                self._decoder.step()
            except Exception as error:
                _log.exception("The decoding loop failed.")
                self._decoder.fail(error)
        self._decoder.fail(RuntimeError("The engine was closed."))

    def _collect(self) -> bool:
        """Takes over what has arrived, waiting while there is nothing to do; False at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._arrived or self._decoder.busy)
            for row in self._arrived:
                self._decoder.add(row)
            self._arrived.clear()
            return not self._closed
