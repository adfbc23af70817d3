"""The one state behind REST and gRPC, and the one way that calls take to their handlers."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import grpc
from google.longrunning import operations_pb2
from google.protobuf import json_format
from google.protobuf.message import Message

from tests.vertex import errors
from tests.vertex.clock import Clock
from tests.vertex.containers import Containers
from tests.vertex.faults import FaultError, Faults
from tests.vertex.operations import Operations, in_version
from tests.vertex.project_facts import ProjectFacts
from tests.vertex.registry import Method, Registry, load_registry
from tests.vertex.runner_protocol import Handle, Runner
from tests.vertex.store import Store

Answer = TypeVar("Answer")
# Those of a method that streams them; closed where nobody wants the rest.
Responses = Generator[Message, None, None]
# A function of the model's REST body, the instances and the parameters (None without any).
Predictor = Callable[[dict[str, Any], Sequence[Any], Any], list[Any]]

# Calls that may take long and change nothing: they do not keep the others waiting.
_UNLOCKED = {
    "PredictionService.Predict",
    "PredictionService.RawPredict",
    "PredictionService.StreamRawPredict",
    "Operations.WaitOperation",
}

_FAULT_CODES = {
    "unavailable": grpc.StatusCode.UNAVAILABLE,
    "internal": grpc.StatusCode.INTERNAL,
    "quota": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "permission": grpc.StatusCode.PERMISSION_DENIED,
}


@dataclass(frozen=True)
class LoggedRequest:
    """A call as it came in.

    Attributes:
        method: Such as ModelService.UploadModel.
        message: The request; None for APIs other than Vertex AI.
        api: rest or grpc.
        content: The JSON of a request to another API.
    """

    method: str
    message: Message | None = None
    api: str = "rest"
    content: Mapping[str, Any] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        """The request as JSON, field names in camelCase."""
        return dict(self.content) if self.message is None else _as_json(self.message)


@dataclass
class Backend:
    """What every handler works on.

    Attributes:
        folder: For files of runs.
        storage_folder: The buckets of Cloud Storage as folders.
        project_facts: What is known of the projects: APIs, permissions, quotas.
        runner: Runs jobs and containers for real; None leaves that to the test (see
            `LocalVertex.finish` and `LocalVertex.predict_with`).
        environment: What child processes need to reach this server.
        predictor: Answers predictions instead of the deployed models' containers.
        containers: The containers that run.
        templates: The compiled template for each templateUri; the longest prefix counts.
        handles: The runs that are going on, by the job's name.
        job_end_listeners: Called with the name of every pipeline job that ends.
        execution_events: The events of each metadata execution.
        time_series_points: The points of each TensorBoard time series, by step.
        imported_files: The files of each dataset.
        queued_runs: The times whose runs each schedule still has to start.
        version_counts: How many versions each model has had; numbers are not used again.
        context_members: The artifacts and executions of each metadata context.
    """

    folder: Path
    storage_folder: Path
    project_facts: ProjectFacts = field(default_factory=ProjectFacts)
    runner: Runner | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    predictor: Predictor | None = None
    containers: Containers = field(default_factory=Containers)
    templates: dict[str, Path] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    clock: Clock = field(default_factory=Clock)
    requests: list[LoggedRequest] = field(default_factory=list)
    handles: dict[str, Handle] = field(default_factory=dict)
    job_end_listeners: list[Callable[[str], None]] = field(default_factory=list)
    context_members: dict[str, set[str]] = field(default_factory=dict)
    execution_events: dict[str, list[Message]] = field(default_factory=dict)
    time_series_points: dict[str, dict[int, Any]] = field(default_factory=dict)
    imported_files: dict[str, list[str]] = field(default_factory=dict)
    queued_runs: dict[str, list[datetime]] = field(default_factory=dict)
    version_counts: dict[str, int] = field(default_factory=dict)
    registry: Registry = field(default_factory=load_registry)

    def __post_init__(self) -> None:
        self.store = Store(self.project_facts.canonical_name)
        self.operations = Operations(self.clock)

    def call(self, method: Method, request: Message, api: str = "rest") -> Message | Responses:
        """Serve a call.

        Args:
            method: The method, of any version of the API.
            request: Its request, of the same version.
            api: rest or grpc, for the log.

        Returns:
            The response, of the same version; the responses of a method that streams them.

        Raises:
            ApiError: the answer is an error.
            ConnectionDropped: the connection is to be closed without an answer.
        """
        self.requests.append(LoggedRequest(method.full_name, request, api))
        check_enums(request)
        response = self.hit_by_faults(method.full_name, lambda: self._serve(method, request))
        if not isinstance(response, Message):
            return response
        return in_version(response, method.version or "v1")

    def hit_by_faults(self, method: str, handler: Callable[[], Answer]) -> Answer:
        """Serve a call with the fault that a test wants for it.

        Args:
            method: Its name.
            handler: Serves it.

        Returns:
            What the handler gives.

        Raises:
            ApiError: the fault is an error.
            ConnectionDropped: the connection is to be closed without an answer.
        """
        try:
            return self.faults.call(method, handler)
        except FaultError as fault:
            raise errors.ApiError(_FAULT_CODES[fault.kind], str(fault)) from fault

    def _serve(self, method: Method, request: Message) -> Message | Responses:
        canonical = self.registry.canonical(method)
        handler = find_handler(canonical)
        if handler is None:
            raise errors.unimplemented(f"The local Vertex AI has no {method.full_name}.")
        # A copy, in the form of v1: handlers change it, but the log and a second delivery must not
        # see that.
        request = canonical.request.FromString(request.SerializeToString())
        call = Call(self, canonical, method.version)
        if method.full_name in _UNLOCKED:
            return handler(call, request)
        with self.store.lock:
            return handler(call, request)


@dataclass(frozen=True)
class Call:
    """A call that is being served.

    Attributes:
        backend: The state.
        method: The method, as v1 has it.
        version: The client's version of the API.
    """

    backend: Backend
    method: Method
    version: str = "v1"

    @property
    def store(self) -> Store:
        """The resources."""
        return self.backend.store

    def operation(
        self,
        target: str,
        response: Message,
        metadata_type: str = "",
        work: Future[None] | None = None,
    ) -> operations_pb2.Operation:
        """Answer with a long-running operation.

        Args:
            target: The resource that it works on.
            response: What it ends with.
            metadata_type: Its metadata's message; by default the method's name and
                OperationMetadata.
            work: What it waits for; None where its effect has happened.
        """
        metadata = metadata_type or f"{self.method.name}OperationMetadata"
        target = self.backend.project_facts.canonical_name(target)
        version = self.version or "v1"
        return self.backend.operations.start(target, response, metadata, version, work)


def _as_json(message: Message) -> dict[str, Any]:
    content: dict[str, Any] = json_format.MessageToDict(message)
    return content


Handler = Callable[[Call, Any], Message | Responses]
Fallback = Callable[[Method], "Handler | None"]

_HANDLERS: dict[str, Handler] = {}
_FALLBACKS: list[Fallback] = []


def handles(*names: str) -> Callable[[Handler], Handler]:
    """Make a function the handler of methods, each named like ModelService.UploadModel."""

    def register(handler: Handler) -> Handler:
        _HANDLERS.update(dict.fromkeys(names, handler))
        return handler

    return register


def handles_the_rest(fallback: Fallback) -> Fallback:
    """Make a function give the handlers of methods that have none of their own."""
    _FALLBACKS.append(fallback)
    return fallback


def find_handler(method: Method) -> Handler | None:
    """The handler of a method, None if it is not implemented."""
    found = _HANDLERS.get(method.full_name)
    if found is not None:
        return found
    return next((handler for give in _FALLBACKS if (handler := give(method))), None)


def check_enums(message: Message, path: str = "") -> None:
    """Refuse numbers that no value of their enum has.

    Raises:
        ApiError: there is one (400).
    """
    for field_, value in message.ListFields():
        where = f"{path}{field_.name}"
        values = value if field_.is_repeated else [value]
        if field_.message_type and field_.message_type.GetOptions().map_entry:
            entry = field_.message_type.fields_by_name["value"]
            values, field_ = (value.values(), entry) if entry.message_type else ((), entry)
        if field_.message_type:
            for item in values:
                check_enums(item, f"{where}.")
        elif field_.enum_type:
            for item in values:
                if item not in field_.enum_type.values_by_number:
                    raise errors.invalid(f"Invalid value at '{where}': {item} is not a value.")


def check_id(name: str, value: str, pattern: str) -> None:
    """Refuse an id that the caller chose badly.

    Raises:
        ApiError: it does not match (400).
    """
    if not re.fullmatch(pattern, value):
        raise errors.invalid(f"Invalid {name} {value!r}: it must match {pattern}.")


def require(request: Message, *paths: str) -> None:
    """Refuse a request without a field.

    Args:
        request: The request.
        paths: Fields, such as endpoint.display_name.

    Raises:
        ApiError: one is empty (400).
    """
    for path in paths:
        value: Any = request
        for part in path.split("."):
            value = getattr(value, part)
        is_set = value.ByteSize() > 0 if isinstance(value, Message) else bool(value)
        if not is_set:
            raise errors.invalid(f"Required field {path} is not set.")
