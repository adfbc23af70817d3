"""Notices when long work becomes far slower than it was at its start."""

from __future__ import annotations

import statistics
from collections import deque

from kfp_llm_tuning.components.common import contention

# A speed is the median of so many entries; a fall to a third of the first is worth a warning.
_ENTRIES_OF_A_SPEED = 5
_FAR_BELOW = 1 / 3


class SpeedWatch:
    """Compares a work's speed with that of its start."""

    def __init__(self, unit: str) -> None:
        """Prepares to compare.

        Args:
            unit: Of the speed, such as tok/s.
        """
        self._unit = unit
        self._entries = 0
        self._recent: deque[float] = deque(maxlen=_ENTRIES_OF_A_SPEED)
        self._first: float | None = None
        self._told = False

    def warning(self, speed: float) -> str:
        """Takes in the speed of a further entry.

        Args:
            speed: Since the entry before it.

        Returns:
            What to tell, once for each fall; empty where there is nothing to tell.
        """
        self._entries += 1
        if self._entries == 1:
            # The first steps make kernels and fill caches.
            return ""
        self._recent.append(speed)
        if len(self._recent) < _ENTRIES_OF_A_SPEED:
            return ""
        now = statistics.median(self._recent)
        if self._first is None:
            self._first = now
        fallen = now < self._first * _FAR_BELOW
        told, self._told = self._told, fallen
        return self._describe_fall(self._first, now) if fallen and not told else ""

    def _describe_fall(self, first: float, now: float) -> str:
        text = f"The speed fell from {_figure(first)} to {_figure(now)} {self._unit}."
        waited = contention.waiting_share()
        if waited > contention.CONTENDED:
            return (
                f"{text} Other programs use this machine's processors: this one's threads waited "
                f"for one {waited:.0%} of the time."
            )
        return f"{text} Look for a lack of memory, a slow disk or a processor that was slowed down."


def _figure(speed: float) -> str:
    return f"{speed:,.0f}" if speed >= 100 else f"{speed:.2g}"
