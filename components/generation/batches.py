"""Batches of rows of similar length, within what memory holds, with the progress of their work."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence

from kfp_llm_tuning.components.common.log_pace import seconds_between_lines
from kfp_llm_tuning.components.common.speed_watch import SpeedWatch

# Rows in one forward pass: more gains nothing on CPU (measured: 16 to 32 are best).
BATCH_SIZE = 32
# Tokens, padding included, that one forward pass may hold in its cache: bounds memory.
TOKENS_PER_BATCH = 2**16
# Logits in one forward pass: 2**27 take 512 MiB as float32.
_LOGITS_PER_BATCH = 2**27
# Answers of one batch end together: a speed is that of a batch at least, and of some seconds.
_SECONDS_OF_A_SPEED = 2.0

_log = logging.getLogger(__name__)


def plan_batches(tokens: Sequence[int], logits: Sequence[int] | None = None) -> list[list[int]]:
    """Groups rows of similar length, the longest first, so that memory runs out early or never.

    Args:
        tokens: Tokens that each row keeps in the cache.
        logits: Logits that each row computes at once, where that bounds the batch.

    Returns:
        Row indices of each batch.
    """
    batches: list[list[int]] = []
    held = 0
    for row in sorted(range(len(tokens)), key=lambda row: -tokens[row]):
        cost = logits[row] if logits else 0
        if (
            not batches
            or len(batches[-1]) == BATCH_SIZE
            or (len(batches[-1]) + 1) * tokens[batches[-1][0]] > TOKENS_PER_BATCH
            or held + cost > _LOGITS_PER_BATCH
        ):
            batches.append([])
            held = 0
        batches[-1].append(row)
        held += cost
    return batches


class Progress:
    """Logs how far work is, every few seconds and at the end, and when it becomes far slower."""

    def __init__(self, total: int, what: str) -> None:
        """Starts the clock.

        Args:
            total: Rows to be done.
            what: What is done with a row, in the plural and the past.
        """
        self._total = total
        self._what = what
        self._done = 0
        self._start = self._last = self._measured = time.monotonic()
        self._speed = SpeedWatch("a second")
        self._unmeasured = 0

    def add(self, rows: int) -> None:
        """Counts work that was done.

        Args:
            rows: Rows more than before.
        """
        self._done += rows
        now = time.monotonic()
        self._watch_speed(rows, now)
        if (
            now - self._last >= seconds_between_lines(now - self._start)
            or self._done == self._total
        ):
            self._last = now
            rate = self._done / max(now - self._start, 1e-9)
            _log.info("%d of %d %s, %.1f a second", self._done, self._total, self._what, rate)

    def _watch_speed(self, rows: int, now: float) -> None:
        """Measures while there is work for whole batches: the last rows leave room in theirs."""
        self._unmeasured += rows
        seconds = now - self._measured
        if self._unmeasured < BATCH_SIZE or seconds < _SECONDS_OF_A_SPEED:
            return
        if self._total - self._done >= BATCH_SIZE and (
            warning := self._speed.warning(self._unmeasured / seconds)
        ):
            _log.warning("%d of %d %s. %s", self._done, self._total, self._what, warning)
        self._measured, self._unmeasured = now, 0


def with_progress(batches: list[list[int]], total: int, what: str) -> Iterator[list[int]]:
    """Logs how far the work on batches is, every few seconds and at the end.

    Args:
        batches: What is worked on.
        total: Rows of all batches.
        what: What is done with a row, in the plural and the past.

    Yields:
        The batches.
    """
    progress = Progress(total, what)
    for rows in batches:
        yield rows
        progress.add(len(rows))
