"""The methods and HTTP routes of Vertex AI, read from the installed google-cloud-aiplatform.

Nothing is listed by hand: the gRPC transports of every service are made to create their stubs on a
recorder, which gives paths and message types; the REST transports give the HTTP rules.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from google.cloud.location import locations_pb2
from google.iam.v1 import iam_policy_pb2
from google.longrunning import operations_pb2
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

VERSIONS = ("v1", "v1beta1")

# Requests of the methods that every service shares: plain protobuf classes, whose serialisers do
# not tell (as those of proto-plus do) to which class they belong.
_SHARED_REQUESTS: dict[str, type[Message]] = {
    "GetOperation": operations_pb2.GetOperationRequest,
    "ListOperations": operations_pb2.ListOperationsRequest,
    "CancelOperation": operations_pb2.CancelOperationRequest,
    "DeleteOperation": operations_pb2.DeleteOperationRequest,
    "WaitOperation": operations_pb2.WaitOperationRequest,
    "GetLocation": locations_pb2.GetLocationRequest,
    "ListLocations": locations_pb2.ListLocationsRequest,
    "SetIamPolicy": iam_policy_pb2.SetIamPolicyRequest,
    "GetIamPolicy": iam_policy_pb2.GetIamPolicyRequest,
    "TestIamPermissions": iam_policy_pb2.TestIamPermissionsRequest,
}


@dataclass(frozen=True)
class Method:
    """A method of a service.

    Attributes:
        service: Such as ModelService, or Operations for one that all services share.
        name: Such as UploadModel.
        version: v1 or v1beta1; "" for one that all services share.
        path: Its gRPC path.
        request: The class of its request.
        response: The class of its response.
        streaming: unary_unary, unary_stream, stream_unary or stream_stream.
    """

    service: str
    name: str
    version: str
    path: str
    request: type[Message]
    response: type[Message]
    streaming: str = "unary_unary"

    @property
    def full_name(self) -> str:
        """Such as ModelService.UploadModel: how faults and handlers name it."""
        return f"{self.service}.{self.name}"


@dataclass(frozen=True)
class Route:
    """An HTTP rule of a method.

    Attributes:
        verb: GET, POST, PATCH, PUT or DELETE.
        template: Such as /v1/{name=projects/*/locations/*/models/*}.
        body: The request's field that is the HTTP body, * for all of it, "" for none.
        method: The method.
    """

    verb: str
    template: str
    body: str
    method: Method

    @functools.cached_property
    def fields(self) -> list[str]:
        """The request fields that the path sets, such as name or model.name."""
        return re.findall(r"{([^=}]+)=?[^}]*}", self.template)

    @functools.cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches paths; one group a field."""
        parts = re.split(r"({[^}]+})", self.template)
        return re.compile("".join(_part_pattern(part) for part in parts))

    @property
    def collection(self) -> str:
        """The collection's name that ends the path of a create or list route, such as models."""
        return self.template.rsplit("/", 1)[-1].split(":")[0]


def _part_pattern(part: str) -> str:
    if not part.startswith("{"):
        return re.escape(part)
    pattern = part[1:-1].partition("=")[2] or "*"
    escaped = re.escape(pattern).replace(r"\*\*", ".+").replace(r"\*", "[^/:]+")
    return f"({escaped})"


@dataclass
class Registry:
    """All methods and routes.

    Attributes:
        methods: By gRPC path.
        routes: Every HTTP rule, the most literal first.
    """

    methods: dict[str, Method] = field(default_factory=dict)
    routes: list[Route] = field(default_factory=list)

    def find(self, service: str, name: str, version: str = "v1") -> Method | None:
        """The method of a service in one version of the API, None if it has none."""
        return self.methods.get(f"/google.cloud.aiplatform.{version}.{service}/{name}")

    def canonical(self, method: Method) -> Method:
        """The same method in v1, where v1 has it: handlers know only that form."""
        return self.find(method.service, method.name) or method

    def match(self, verb: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """Find the route of a path.

        Args:
            verb: The HTTP verb.
            path: The path, unquoted, without the query.

        Returns:
            The route and the fields that the path sets, or None.
        """
        for route in self._index.get(_index_key(verb, path), ()):
            found = route.pattern.fullmatch(path)
            if found:
                return route, dict(zip(route.fields, found.groups(), strict=True))
        return None

    def routes_of(self, method: Method) -> list[Route]:
        """The HTTP rules of a method."""
        return self._routes_by_method.get(method.path, [])

    @functools.cached_property
    def _routes_by_method(self) -> dict[str, list[Route]]:
        found: dict[str, list[Route]] = {}
        for route in self.routes:
            found.setdefault(route.method.path, []).append(route)
        return found

    @functools.cached_property
    def _index(self) -> dict[tuple[str, str, str], list[Route]]:
        index: dict[tuple[str, str, str], list[Route]] = {}
        for route in self.routes:
            index.setdefault(_index_key(route.verb, route.template), []).append(route)
        return index


def _index_key(verb: str, path: str) -> tuple[str, str, str]:
    return verb, path.split("/", 2)[1], path.rsplit("/", 1)[-1].partition(":")[2]


@functools.cache
def load_registry() -> Registry:
    """Read the installed SDK, once a process.

    Returns:
        The methods and routes of v1 and v1beta1.
    """
    registry = Registry()
    routes: dict[tuple[str, str], Route] = {}
    for version in VERSIONS:
        for transports in _service_transports(version):
            methods = {method.name: method for method in _methods(transports, version)}
            registry.methods.update({method.path: method for method in methods.values()})
            for route in _routes(transports, methods):
                routes.setdefault((route.verb, route.template), route)
    registry.routes = sorted(routes.values(), key=lambda route: route.template.count("**"))
    return registry


def message_type(name: str, version: str = "v1") -> type[Message] | None:
    """The class of a message of the API.

    Args:
        name: Such as DeployModelResponse.
        version: v1 or v1beta1.

    Returns:
        The protobuf class, None if that version has no such message.
    """
    types = importlib.import_module(f"google.cloud.aiplatform_{version}.types")
    found = getattr(types, name, None)
    return _protobuf_class(found) if found is not None else None


def _service_transports(version: str) -> Iterator[tuple[ModuleType, ModuleType]]:
    package = importlib.import_module(f"google.cloud.aiplatform_{version}.services")
    for service in pkgutil.iter_modules(package.__path__):
        transports = f"{package.__name__}.{service.name}.transports"
        yield (
            importlib.import_module(f"{transports}.grpc"),
            importlib.import_module(f"{transports}.rest_base"),
        )


class _StubRecorder:
    """Stands for a gRPC channel and notes which stubs are made."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.methods: list[Method] = []

    def __getattr__(self, streaming: str) -> Any:
        def record(
            path: str, request_serializer: Any = None, response_deserializer: Any = None, **_: Any
        ) -> None:
            service, name = path.rsplit("/", 2)[-2:]
            is_shared = ".aiplatform." not in service
            owner = getattr(request_serializer, "__self__", None)
            answers = getattr(response_deserializer, "__self__", Empty)
            self.methods.append(
                Method(
                    service=service.rsplit(".", 1)[-1],
                    name=name,
                    version="" if is_shared else self.version,
                    path=path,
                    request=_protobuf_class(owner) if owner else _SHARED_REQUESTS[name],
                    response=_protobuf_class(answers),
                    streaming=streaming,
                )
            )

        return record


def _methods(transports: tuple[ModuleType, ModuleType], version: str) -> Sequence[Method]:
    transport_class = _only_class(transports[0], "GrpcTransport")
    transport = transport_class.__new__(transport_class)
    recorder = _StubRecorder(version)
    transport._stubs, transport._logged_channel = {}, recorder
    for name, value in vars(transport_class).items():
        if isinstance(value, property) and name not in ("grpc_channel", "operations_client"):
            getattr(transport, name)
    return recorder.methods


def _routes(
    transports: tuple[ModuleType, ModuleType], methods: dict[str, Method]
) -> Iterator[Route]:
    transport_class = _only_class(transports[1], "RestTransport")
    for name, rule in vars(transport_class).items():
        method = methods.get(name.removeprefix("_Base"))
        if method is None or not hasattr(rule, "_get_http_options"):
            continue
        for option in rule._get_http_options():
            verb, body = option["method"].upper(), option.get("body", "")
            yield Route(verb=verb, template=option["uri"], body=body, method=method)


def _only_class(module: ModuleType, ending: str) -> Any:
    return next(
        value
        for name, value in vars(module).items()
        if name.endswith(ending) and getattr(value, "__module__", "") == module.__name__
    )


def _protobuf_class(message: Any) -> type[Message]:
    found: type[Message] = message.pb() if hasattr(message, "pb") else message
    return found
