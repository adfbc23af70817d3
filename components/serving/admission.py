"""Lets requests in: so many at once, and none that the model cannot answer."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import StrEnum

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.serving.refusals import Refusal

# The speed is that of so many answers that ended last.
_REMEMBERED = 64
_LEAST_WAIT, _MOST_WAIT = 1, 60


class State(StrEnum):
    """What the server is doing; its health route tells it."""

    LOADING = "loading"
    OK = "ok"
    DRAINING = "draining"


class Admission:
    """Counts the answers that are being written or waited for, and refuses what is too much.

    Attributes:
        limit: Most answers at once.
        under_way: Answers that are being written or waited for.
        state: What the server is doing; a server that drains still lets requests in.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Starts with nothing under way, while the model is being loaded.

        Args:
            limit: Most answers at once.
            clock: Seconds.
        """
        self.limit = limit
        self.under_way = 0
        self.state = State.LOADING
        self._clock = clock
        self._ended: deque[float] = deque(maxlen=_REMEMBERED)

    @asynccontextmanager
    async def admitted(self, count: int = 1) -> AsyncIterator[None]:
        """Holds the places of one request for as long as the block runs.

        Args:
            count: Answers that the request asks for: instances times candidates.

        Raises:
            Refusal: If the model is not loaded yet (503), if there is no room now (429), or if
                there never is (400).
        """
        if self.state is State.LOADING:
            raise Refusal(503, "The model is being loaded.", retry_after=self._seconds_until(count))
        if count > self.limit:
            what = f"{count} answers are asked for at once."
            fix = "Ask for fewer instances or candidates in one request."
            raise Refusal(400, Problem(what, allowed=f"at most {self.limit}", fix=fix))
        if self.under_way + count > self.limit:
            what = "The server has as many requests as it can hold."
            raise Refusal(429, what, retry_after=self._seconds_until(count))
        self.under_way += count
        try:
            yield
        finally:
            self.under_way -= count
            self._ended.extend([self._clock()] * min(count, _REMEMBERED))

    def _seconds_until(self, count: int) -> int:
        """Estimates when there is room for so many answers, at the speed of the last ones."""
        if len(self._ended) < 2:
            return _LEAST_WAIT
        passed = self._clock() - self._ended[0]
        too_many = max(self.under_way + count - self.limit, 0)
        wait = math.ceil(too_many * passed / len(self._ended))
        return min(max(wait, _LEAST_WAIT), _MOST_WAIT)
