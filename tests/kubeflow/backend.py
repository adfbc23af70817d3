"""The state of the local Kubeflow Pipelines, and the one way that calls take to their handlers."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.kubeflow.errors import ApiError, Code, not_found
from tests.kubeflow.specs import Package
from tests.kubeflow.workflow import Workflow
from tests.vertex.clock import Clock
from tests.vertex.faults import FaultError, Faults
from tests.vertex.runner_protocol import Handle, Report

NAMESPACE = "kubeflow"
Message = dict[str, Any]
Start = Callable[["Run", Path, Report], Handle]

_FAULT_CODES = {
    "unavailable": Code.UNAVAILABLE,
    "quota": Code.RESOURCE_EXHAUSTED,
    "permission": Code.PERMISSION_DENIED,
}


@dataclass
class Version:
    """A version of a pipeline: as answers tell it, and what it runs."""

    message: Message
    package: Package


@dataclass
class Run:
    """A run: as answers tell it, what it runs, and its workflow."""

    message: Message
    package: Package
    workflow: Workflow


@dataclass
class RecurringRun:
    """A recurring run.

    Attributes:
        message: As answers tell it.
        package: What it runs, kept from when it was made.
        created: When.
        last: The time that its last run was for.
        index: How many runs it has started.
    """

    message: Message
    package: Package
    created: datetime
    last: datetime | None = None
    index: int = 0


@dataclass(frozen=True)
class LoggedRequest:
    """A call as it came in.

    Attributes:
        method: Such as RunService.CreateRun.
        path: What the path says.
        query: The query.
        body: The JSON; None where there is none.
    """

    method: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Call:
    """A call that is being served.

    Attributes:
        path: What the path says.
        query: The query.
        body: The JSON; None where there is none.
        upload: Name and content of an uploaded file.
    """

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any = None
    upload: tuple[str, bytes] | None = None


@dataclass
class Backend:
    """What every handler works on.

    Attributes:
        folder: For the runs' files.
        multi_user: Whether everything is in a namespace that calls must name.
        namespaces: Those that the caller may use.
        token: What calls must bear; empty for none.
        start: Runs pipelines for real; None leaves that to the test.
        handles: The runs that are going on for real.
        run_end_listeners: Called with the id of every run that ends.
    """

    folder: Path
    multi_user: bool = False
    namespaces: set[str] = field(default_factory=lambda: {NAMESPACE})
    token: str = ""
    start: Start | None = None
    clock: Clock = field(default_factory=Clock)
    faults: Faults = field(default_factory=Faults)
    requests: list[LoggedRequest] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    experiments: dict[str, Message] = field(default_factory=dict)
    pipelines: dict[str, Message] = field(default_factory=dict)
    versions: dict[str, Version] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    recurring_runs: dict[str, RecurringRun] = field(default_factory=dict)
    handles: dict[str, Handle] = field(default_factory=dict)
    run_end_listeners: list[Callable[[str], None]] = field(default_factory=list)

    def clear(self) -> None:
        """Forget everything but the time."""
        with self.lock:
            for store in (
                self.experiments,
                self.pipelines,
                self.versions,
                self.runs,
                self.recurring_runs,
                self.requests,
            ):
                store.clear()
            self.faults.clear()

    def call(self, route: Route, call: Call) -> Any:
        """Serve a call, with the fault that a test wants for it.

        Args:
            route: Its route.
            call: The call.

        Returns:
            The JSON of the answer.

        Raises:
            ApiError: the answer is an error.
            ConnectionDropped: the connection is to be closed without an answer.
        """
        self.requests.append(LoggedRequest(route.method, call.path, call.query, call.body))
        try:
            return self.faults.call(route.method, lambda: self._serve(route, call))
        except FaultError as fault:
            raise ApiError(_FAULT_CODES[fault.kind], str(fault)) from fault

    def namespace(self, given: str) -> str:
        """The namespace that a call works in: none where there is one user.

        Raises:
            ApiError: it is missing (400) or not the caller's (403).
        """
        if not self.multi_user:
            return ""
        if not given:
            raise ApiError(Code.INVALID_ARGUMENT, "Namespace cannot be empty in multi-user mode.")
        if given not in self.namespaces:
            raise ApiError(
                Code.PERMISSION_DENIED, f"User is not authorized in the namespace {given}"
            )
        return given

    def _serve(self, route: Route, call: Call) -> Any:
        with self.lock:
            return route.handler(self, call)


Handler = Callable[[Backend, Call], Any]


@dataclass(frozen=True)
class Route:
    """How a call comes in, and who serves it."""

    verb: str
    pattern: re.Pattern[str]
    method: str
    handler: Handler


_ROUTES: list[Route] = []


def serves(verb: str, template: str, method: str) -> Callable[[Handler], Handler]:
    """Make a function the handler of a route.

    Args:
        verb: GET, POST or DELETE.
        template: The path, with {names} in it.
        method: The call's name, such as RunService.CreateRun.
    """
    pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/:]+)", re.escape(template))

    def register(handler: Handler) -> Handler:
        _ROUTES.append(Route(verb, re.compile(pattern), method, handler))
        return handler

    return register


def find_route(verb: str, path: str) -> tuple[Route, dict[str, str]]:
    """Find the route of a call.

    Returns:
        The route, and what the path says.

    Raises:
        ApiError: there is none (404).
    """
    for route in _ROUTES:
        found = route.pattern.fullmatch(path)
        if found and route.verb == verb:
            return route, found.groupdict()
    raise ApiError(Code.NOT_FOUND, f"Not Found: {verb} {path}")


def fetch(store: Mapping[str, Any], kind: str, identifier: str) -> Any:
    """The thing of an id.

    Raises:
        ApiError: there is none (404).
    """
    if identifier not in store:
        raise not_found(kind, identifier)
    return store[identifier]
