"""The REST side: HTTP/1.1 on loopback, JSON as strictly parsed as Google's."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Generator
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from google.api import httpbody_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from tests.loopback_server import LoopbackHandler, LoopbackServer
from tests.vertex import errors
from tests.vertex.backend import Backend, Responses
from tests.vertex.errors import ApiError
from tests.vertex.faults import ConnectionDropped
from tests.vertex.registry import Route
from tests.vertex.services import project

# Names the host that a redirected client meant, such as compute.googleapis.com.
HOST_HEADER = "X-Local-Vertex-Host"

Chunks = Generator[bytes, None, None]

# Query parameters of Google's front end, no fields of requests.
_SYSTEM_PARAMETERS = {"alt", "key", "prettyPrint", "access_token", "fields", "quotaUser"}
# A region's host, or an endpoint's own.
_VERTEX_HOST = re.compile(
    r"(?:(?:([a-z0-9-]+)-)?aiplatform\.googleapis\.com|[\w-]+\.[\w-]+\.prediction\.vertexai\.goog)"
    r"(?::\d+)?"
)


class RestServer(LoopbackServer):
    """Serves a backend over HTTP."""

    def __init__(self, backend: Backend, port: int = 0) -> None:
        super().__init__(_Handler, port, backend=backend)


class _Handler(LoopbackHandler):
    backend: Backend

    def _answer(self) -> None:
        body = self.read_body()
        try:
            status, kind, content = self._dispatch(body)
        except ApiError as error:
            status, kind = error.http_status, "application/json; charset=UTF-8"
            content = json.dumps(error.body(), indent=2).encode()
        except ConnectionDropped:
            self.reset()
            return
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if isinstance(content, bytes):
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        else:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self._write_chunks(content)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _answer  # noqa: N815

    def _write_chunks(self, chunks: Chunks) -> None:
        with contextlib.closing(chunks), contextlib.suppress(ConnectionError):
            try:
                for chunk in filter(None, chunks):
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            except ApiError:
                # Too late for a status: the client sees that the body has no end.
                self.close_connection = True
            else:
                self.wfile.write(b"0\r\n\r\n")

    def _dispatch(self, body: bytes) -> tuple[HTTPStatus, str, bytes | Chunks]:
        url = urlsplit(self.path)
        host = self.headers.get(HOST_HEADER, "aiplatform.googleapis.com")
        if not _VERTEX_HOST.fullmatch(host):
            query = dict(parse_qsl(url.query))
            answer = project.serve(self.backend, self.command, host, unquote(url.path), query, body)
            return HTTPStatus.OK, "application/json; charset=UTF-8", json.dumps(answer).encode()
        found = self.backend.registry.match(self.command, unquote(url.path))
        if found is None:
            raise errors.unimplemented(f"No method has the route {self.command} {url.path}.")
        check_region(host, url.path)
        route, path_fields = found
        query_items = parse_qsl(url.query, keep_blank_values=True)
        content_type = self.headers.get("Content-Type", "")
        request = parse_request(route, path_fields, query_items, body, content_type)
        response = self.backend.call(route.method, request)
        if isinstance(response, httpbody_pb2.HttpBody):
            return HTTPStatus.OK, response.content_type, response.data
        if not isinstance(response, Message):
            first: Any = next(response)
            return HTTPStatus.OK, first.content_type, _data(first, response)
        as_numbers = "enum-encoding=int" in dict(query_items).get("$alt", "")
        text = json_format.MessageToJson(response, use_integers_for_enums=as_numbers)
        return HTTPStatus.OK, "application/json; charset=UTF-8", text.encode()


def _data(first: Any, rest: Responses) -> Chunks:
    with contextlib.closing(rest):
        yield first.data
        for body in rest:
            yield cast(Any, body).data


def parse_request(
    route: Route,
    path_fields: dict[str, str],
    query: list[tuple[str, str]],
    body: bytes,
    content_type: str = "application/json",
) -> Message:
    """Make the request of a method out of an HTTP request.

    Args:
        route: The method's route.
        path_fields: What the path says; wins over body and query.
        query: The query's parameters.
        body: The HTTP body.
        content_type: Its type, for methods that take any.

    Returns:
        The request.

    Raises:
        ApiError: a field is unknown, of a wrong type or badly formed (400).
    """
    request = route.method.request()
    if route.body and "http_body" in request.DESCRIPTOR.fields_by_name:
        request.http_body.data = body
        request.http_body.content_type = content_type
    elif route.body:
        target = request if route.body == "*" else getattr(request, route.body)
        target.SetInParent()
        _parse_json(body or b"{}", target)
    elif body.strip() not in (b"", b"{}"):
        raise errors.invalid(f"{route.method.full_name} takes no body.")
    _set_query(request, query)
    for path, value in path_fields.items():
        *parents, last = path.split(".")
        owner: Any = request
        for parent in parents:
            owner = getattr(owner, parent)
        setattr(owner, last, value)
    return request


def _parse_json(body: bytes, target: Message) -> None:
    try:
        content = json.loads(body)
    except ValueError as error:
        raise errors.invalid(f"Invalid JSON payload received. {error}") from error
    if not isinstance(content, dict):
        raise errors.invalid("Invalid JSON payload received. Root element must be a message.")
    _parse_dict(content, target)


def _parse_dict(content: dict[str, Any], target: Message) -> None:
    try:
        json_format.ParseDict(content, target)
    except json_format.ParseError as error:
        unknown = re.search(r'has no field named "([^"]*)" at "([^"]*)"', str(error))
        problem = str(error)
        if unknown:
            name, where = unknown.groups()
            where = where.partition(".")[2]
            place = f" at '{where}'" if where else ""
            problem = f'Unknown name "{name}"{place}: Cannot find field.'
        raise errors.invalid(f"Invalid JSON payload received. {problem}") from error


def _set_query(request: Message, query: list[tuple[str, str]]) -> None:
    tree: dict[str, Any] = {}
    for key, text in query:
        if key.startswith("$") or key in _SYSTEM_PARAMETERS:
            continue
        *parents, last = key.split(".")
        node, descriptor = tree, request.DESCRIPTOR
        for parent in parents:
            field = _query_field(descriptor, parent, key)
            node, descriptor = node.setdefault(field.json_name, {}), field.message_type
        field = _query_field(descriptor, last, key)
        value = _query_value(field, text)
        if field.is_repeated:
            node.setdefault(field.json_name, []).append(value)
        else:
            node[field.json_name] = value
    _parse_dict(tree, request)


def _query_field(descriptor: Any, name: str, key: str) -> FieldDescriptor:
    found: FieldDescriptor | None = None
    if descriptor is not None:
        by_name, by_camel = descriptor.fields_by_name, descriptor.fields_by_camelcase_name
        found = by_name.get(name) or by_camel.get(name)
    if found is None:
        raise errors.invalid(
            f'Invalid JSON payload received. Unknown name "{key}": Cannot bind query parameter.'
        )
    return found


def _query_value(field: FieldDescriptor, text: str) -> Any:
    if field.type == FieldDescriptor.TYPE_BOOL:
        return {"true": True, "false": False}.get(text.lower(), text)
    if field.type == FieldDescriptor.TYPE_ENUM and text.lstrip("-").isdigit():
        return int(text)
    if field.message_type and field.message_type.full_name == "google.protobuf.FieldMask":
        return re.sub(r"_([a-z])", lambda found: found.group(1).upper(), text)
    return text


def check_region(host: str, path: str) -> None:
    """Refuse a location that is not that of the host.

    Args:
        host: The host that the client meant, such as us-central1-aiplatform.googleapis.com.
        path: A path or a resource's name.

    Raises:
        ApiError: they differ (400).
    """
    vertex_host = _VERTEX_HOST.fullmatch(host)
    host_region = vertex_host.group(1) if vertex_host else None
    location = re.search(r"\bprojects/[^/]+/locations/([^/:]+)", path)
    if host_region and location and location.group(1) not in (host_region, "-"):
        raise errors.invalid(
            f"List of found errors: 1.Field: location; Message: The location {location.group(1)} "
            f"does not match the endpoint's region {host_region}."
        )
