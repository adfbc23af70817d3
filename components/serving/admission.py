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

# The speed is that of so many requests that ended last.
_REMEMBERED = 64
_LEAST_WAIT, _MOST_WAIT = 1, 60
_WAIT_FOR_MODEL = 5


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
        self._seconds: deque[float] = deque(maxlen=_REMEMBERED)

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
            raise Refusal(503, "The model is being loaded.", retry_after=_WAIT_FOR_MODEL)
        if count > self.limit:
            what = f"{count} answers are asked for at once."
            fix = "Ask for fewer instances or candidates in one request."
            raise Refusal(400, Problem(what, allowed=f"at most {self.limit}", fix=fix))
        if self.under_way + count > self.limit:
            what = "The server has as many requests as it can hold."
            raise Refusal(429, what, retry_after=self._seconds_until_room(count))
        begun = self._clock()
        self.under_way += count
        try:
            yield
            self._seconds.append(self._clock() - begun)
        finally:
            self.under_way -= count

    def _seconds_until_room(self, count: int) -> int:
        """Estimates when so many places are free, at the speed of the last requests.

        As many places as are taken now are free again after the time that a request takes.
        """
        if not self._seconds:
            return _LEAST_WAIT
        share = (self.under_way + count - self.limit) / self.under_way
        wait = math.ceil(share * sum(self._seconds) / len(self._seconds))
        return min(max(wait, _LEAST_WAIT), _MOST_WAIT)
