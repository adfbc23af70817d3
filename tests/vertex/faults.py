"""Faults that tests inject into calls of the local Vertex AI."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

Kind = Literal["unavailable", "internal", "quota", "reset", "slow", "duplicate", "permission"]
Answer = TypeVar("Answer")


class ConnectionDropped(Exception):
    """The server must close the connection without an answer."""


class FaultError(Exception):
    """The answer to a call is an error that a test asked for.

    Attributes:
        kind: unavailable (503), internal (500), quota (429) or permission (403).
    """

    def __init__(self, kind: Kind, method: str) -> None:
        super().__init__(f"Injected fault: {kind} at {method}")
        self.kind = kind


@dataclass
class Fault:
    """A fault that waits for its call.

    Attributes:
        method: The call, such as ModelService.UploadModel, storage.objects.insert or
            cloudresourcemanager.projects.get.
        kind: What goes wrong.
        times: How many calls it still hits.
        after_commit: The effect of the call happened, but the client sees the error.
        seconds: How long a slow call waits.
    """

    method: str
    kind: Kind
    times: int = 1
    after_commit: bool = False
    seconds: float = 0.0


class Faults:
    """The faults that are waiting, and the one place where they strike."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._everywhere: Fault | None = None
        self._calls: Counter[str] = Counter()
        self._pace, self._spared = 1, frozenset[str]()
        self._lock = threading.Lock()
        self._slow_calls = 0
        self._slow_ended = threading.Condition()
        self._stopped = threading.Event()

    def inject(
        self,
        method: str,
        kind: Kind,
        times: int = 1,
        after_commit: bool = False,
        seconds: float = 1.0,
    ) -> None:
        """Let the next `times` calls of `method` go wrong.

        Args:
            method: The call, such as ModelService.UploadModel; * means every call.
            kind: unavailable (503), internal (500), quota (429), permission (403), reset (the
                connection is dropped), slow (answered after `seconds`), or duplicate (delivered
                twice, answered once with the first answer).
            times: How many calls.
            after_commit: The effect happened, but the client sees the error.
            seconds: How long a slow call waits.

        Raises:
            ValueError: there is no such kind.
        """
        if kind not in get_args(Kind):
            raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}, not {kind!r}")
        with self._lock:
            self._waiting.append(Fault(method, kind, times, after_commit, seconds))

    def inject_everywhere(
        self, kind: Kind, after_commit: bool = False, spared: Collection[str] = (), pace: int = 5
    ) -> None:
        """Let every call go wrong: the first of each method, and so on at a pace.

        Args:
            kind: As of `inject`.
            after_commit: As of `inject`.
            spared: Methods that are left alone.
            pace: One of so many calls of a method goes wrong, 2 or more.
        """
        with self._lock:
            self._everywhere = Fault("*", kind, after_commit=after_commit)
            self._pace, self._spared = pace, frozenset(spared)

    @property
    def struck_everywhere(self) -> set[str]:
        """The methods of which a call went wrong since `inject_everywhere`."""
        with self._lock:
            return {*self._calls}

    def clear(self) -> None:
        """Forget the faults that have not struck."""
        with self._lock:
            self._waiting.clear()
            self._everywhere = None
            self._calls.clear()

    def stop(self) -> None:
        """Let slow calls end at once: the server stops."""
        self._stopped.set()

    @property
    def waiting(self) -> list[Fault]:
        """The faults that have not struck often enough: empty when a test has used all."""
        with self._lock:
            return list(self._waiting)

    def call(self, method: str, handler: Callable[[], Answer]) -> Answer:
        """Call `handler`, with the fault that waits for `method`, if any.

        Args:
            method: The call's name.
            handler: Does the call.

        Returns:
            What the handler returns.

        Raises:
            FaultError: the call is to be answered by this error.
            ConnectionDropped: the connection is to be closed without an answer.
        """
        fault = self._take(method)
        if fault is None:
            return handler()
        if fault.kind == "slow":
            return self._call_slowly(fault, handler)
        if fault.kind == "duplicate":
            return _deliver_twice(handler)
        if fault.after_commit:
            handler()
        if fault.kind == "reset":
            raise ConnectionDropped(method)
        raise FaultError(fault.kind, method)

    def settle(self) -> None:
        """Wait until every slow call has had its effect: the next test has a server of its own."""
        with self._slow_ended:
            self._slow_ended.wait_for(lambda: not self._slow_calls)

    def _call_slowly(self, fault: Fault, handler: Callable[[], Answer]) -> Answer:
        with self._slow_ended:
            self._slow_calls += 1
        try:
            if not fault.after_commit:
                self._stopped.wait(fault.seconds)
                return handler()
            answer = handler()
            self._stopped.wait(fault.seconds)
            return answer
        finally:
            with self._slow_ended:
                self._slow_calls -= 1
                self._slow_ended.notify_all()

    def _take(self, method: str) -> Fault | None:
        with self._lock:
            for fault in self._waiting:
                if fault.method in (method, "*"):
                    fault.times -= 1
                    if fault.times <= 0:
                        self._waiting.remove(fault)
                    return fault
            if self._everywhere is None or method in self._spared:
                return None
            self._calls[method] += 1
            return self._everywhere if self._calls[method] % self._pace == 1 else None


def _deliver_twice(handler: Callable[[], Answer]) -> Answer:
    answer = handler()
    with contextlib.suppress(Exception):  # the second delivery's answer reaches nobody
        handler()
    return answer
