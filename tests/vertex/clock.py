"""The time of the local Vertex AI, which tests may advance."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

_TICK = timedelta(milliseconds=1)

NextDue = Callable[[datetime], datetime | None]
Fire = Callable[[datetime], None]


class Clock:
    """Real time plus what tests added; no two calls of `now` give the same time."""

    def __init__(self) -> None:
        self._offset = timedelta()
        self._last = datetime.min.replace(tzinfo=UTC)
        self._lock = threading.Lock()
        self._timers: list[tuple[NextDue, Fire]] = []

    def now(self) -> datetime:
        """The time, in UTC; later than at every earlier call."""
        with self._lock:
            self._last = max(datetime.now(UTC) + self._offset, self._last + _TICK)
            return self._last

    def timestamp(self) -> Timestamp:
        """The time as a protobuf message."""
        stamp = Timestamp()
        stamp.FromDatetime(self.now())
        return stamp

    def add_timer(self, next_due: NextDue, fire: Fire) -> None:
        """Let `advance` stop at the times when something is to happen.

        Args:
            next_due: Gives the next such time up to the given one, or None.
            fire: Does what is to happen at that time.
        """
        self._timers.append((next_due, fire))

    def advance(self, by: timedelta = timedelta()) -> None:
        """Move the time on, and let happen, in order, what falls due on the way.

        Args:
            by: How far; zero lets happen what real time has made due.

        Raises:
            ValueError: time does not run backwards.
        """
        if by < timedelta():
            raise ValueError(f"time does not run backwards: {by}")
        end = self.now() + by
        while True:
            due = [(at, fire) for next_due, fire in self._timers if (at := next_due(end))]
            if not due:
                break
            at, fire = min(due, key=lambda pair: pair[0])
            self._move_to(at)
            fire(at)
        self._move_to(end)

    def _move_to(self, at: datetime) -> None:
        with self._lock:
            behind = at - (datetime.now(UTC) + self._offset)
            self._offset += max(behind, timedelta())
