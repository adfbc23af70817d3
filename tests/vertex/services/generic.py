"""Create, get, list, update and delete for every resource of every service.

A method named Create<Resource>, Get<Resource>, ... is served here unless its service has a handler
of its own. What differs between resources is read from the requests' fields and the HTTP routes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import random
import re
from collections.abc import Sequence
from typing import Any, TypeVar

import grpc
from google.longrunning import operations_pb2
from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from tests.vertex import errors
from tests.vertex.backend import Call, Handler, check_id, handles_the_rest, require
from tests.vertex.filters import Functions, Virtual, parse_filter, sort_resources
from tests.vertex.registry import Method, load_registry, message_type

M = TypeVar("M", bound=Message)

_ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}"
_LABEL_KEY = r"(?:[a-z.]+/)?[^\W\d_][\w-]{0,62}"
_LABEL_VALUE = r"[\w-]{0,63}"
_MAXIMAL_LABELS = 64
_DEFAULT_PAGE = 100
_MAXIMAL_PAGE = 1000
_SERVER_FIELDS = {"name", "create_time", "update_time", "etag"}


@handles_the_rest
def generic_handler(method: Method) -> Handler | None:
    """The handler of a method by its name's first word, None if it has another."""
    for verb, handler in _VERBS.items():
        resource = method.name.removeprefix(verb)
        if resource != method.name and _collection(method) and _fits(method, verb, resource):
            return handler
    return None


def create(call: Call, request: Any) -> Message:
    """Create a resource with the caller's id or a number."""
    resource = call.method.name.removeprefix("Create")
    message = getattr(request, snake_case(resource))
    check_parent(call, request.parent)
    name = new_name(call, request, snake_case(resource), _collection(call.method))
    add(call, name, message)
    stored = call.store.fetch(name, type(message))
    return call.operation(name, stored) if _is_long_running(call.method) else stored


def add(call: Call, name: str, resource: Any) -> None:
    """Store a new resource with the fields that the server sets."""
    if "name" in resource.DESCRIPTOR.fields_by_name:
        resource.name = name
    check_labels(resource)
    stamp(call, resource, "create_time", "update_time")
    call.store.create(name, resource)


def save(call: Call, resource: Any) -> None:
    """Store a changed resource."""
    check_labels(resource)
    stamp(call, resource, "update_time")
    call.store.put(resource.name, resource)


def get(call: Call, request: Any) -> Message:
    """Give a resource."""
    require(request, "name")
    check_project(call, request.name)
    return call.store.fetch(request.name, call.method.response)


def list_(call: Call, request: Any) -> Message:
    """List a collection: filtered, sorted, a page at a time."""
    check_parent(call, request.parent)
    kind = _listed_kind(call.method)
    resources = call.store.children(request.parent, _collection(call.method), kind)
    return page(call, request, resources)


def update(call: Call, request: Any) -> Message:
    """Change the masked fields of a resource."""
    resource = call.method.name.removeprefix("Update")
    changes = getattr(request, snake_case(resource))
    check_project(call, changes.name)
    current = call.store.fetch(changes.name, type(changes))
    check_etag(current, getattr(changes, "etag", ""))
    merge(current, changes, request.update_mask)
    save(call, current)
    stored = call.store.fetch(changes.name, type(changes))
    return call.operation(stored.name, stored) if _is_long_running(call.method) else stored


def delete(call: Call, request: Any) -> Message:
    """Delete a resource and what is under it."""
    require(request, "name")
    check_project(call, request.name)
    current = call.store.get(request.name)
    check_etag(current, getattr(request, "etag", ""))
    call.store.remove(request.name)
    if not _is_long_running(call.method):
        return Empty()
    return call.operation(request.name, Empty(), "DeleteOperationMetadata")


_VERBS: dict[str, Handler] = {
    "Create": create,
    "Get": get,
    "List": list_,
    "Update": update,
    "Delete": delete,
}


def page(
    call: Call,
    request: Any,
    resources: Sequence[Message],
    virtual: Virtual | None = None,
    functions: Functions | None = None,
) -> Any:
    """Answer a list call.

    Args:
        call: The call.
        request: Has filter, order_by, page_size and page_token, as far as the method does.
        resources: What there is to list.
        virtual: Further fields to filter by.
        functions: Functions for the filter.

    Returns:
        The response.
    """
    matches = parse_filter(getattr(request, "filter", ""), virtual, functions)
    found = [resource for resource in resources if matches(resource)]
    found = sort_resources(found, getattr(request, "order_by", ""))
    size = request.page_size
    if size < 0:
        raise errors.invalid(f"page_size must not be negative, not {size}.")
    start = _page_start(request)
    end = start + min(size or _DEFAULT_PAGE, _MAXIMAL_PAGE)
    response: Any = call.method.response()
    getattr(response, _listed_field(call.method)).extend(found[start:end])
    if end < len(found):
        response.next_page_token = _page_token(request, end)
    return response


def merge(current: Message, changes: Message, mask: FieldMask) -> None:
    """Take the masked fields of `changes` over into `current`.

    Raises:
        ApiError: the mask names a field that does not exist or is the server's (400).
    """
    paths = list(mask.paths)
    if not paths or paths == ["*"]:
        set_fields = [field.name for field, _ in changes.ListFields()]
        paths = [name for name in set_fields if name not in _SERVER_FIELDS]
    for path in paths:
        if path in _SERVER_FIELDS:
            raise errors.invalid(f"Invalid update_mask: field {path} cannot be updated.")
    checked = FieldMask(paths=paths)
    if not checked.IsValidForDescriptor(current.DESCRIPTOR):
        raise errors.invalid(
            f"Invalid update_mask: {', '.join(paths)} of {current.DESCRIPTOR.name}."
        )
    checked.MergeMessage(changes, current, replace_message_field=True, replace_repeated_field=True)


def new_name(
    call: Call, request: Any, resource: str, collection: str, pattern: str = _ID_PATTERN
) -> str:
    """The name of a new resource: the caller's id (`<resource>_id`) or a number.

    Raises:
        ApiError: the id is badly formed (400).
    """
    chosen: str = getattr(request, f"{resource}_id", "")
    if chosen:
        check_id(f"{resource}_id", chosen, pattern)
    return f"{request.parent}/{collection}/{chosen or new_number()}"


def new_number() -> str:
    """An id as the service makes them."""
    return str(random.randrange(10**17, 9 * 10**18))


def check_parent(call: Call, parent: str) -> None:
    """Refuse a parent that is badly formed (400), forbidden (403) or unknown (404).

    Raises:
        ApiError: it is.
    """
    if not re.match(r"projects/[^/]+/locations/[^/]+", parent):
        raise errors.invalid(f"Invalid parent {parent!r}: projects/P/locations/L is needed.")
    check_project(call, parent)
    if parent.count("/") > 3 and "-" not in parent.split("/") and parent not in call.store:
        raise errors.not_found(parent)


def check_project(call: Call, name: str) -> None:
    """Refuse a project that does not exist.

    Raises:
        ApiError: it does not (403).
    """
    project = name.split("/")[1] if name.startswith("projects/") else ""
    if project and call.backend.project_facts.find(project) is None:
        raise errors.permission_denied(
            f"Permission denied on resource project {project} (or it may not exist)."
        )


def check_etag(current: Any, etag: str) -> None:
    """Refuse a change to a resource that has changed since the caller read it.

    Raises:
        ApiError: it has (409).
    """
    if etag and current is not None and getattr(current, "etag", "") != etag:
        raise errors.ApiError(
            grpc.StatusCode.ABORTED,
            f"Specified {current.DESCRIPTOR.name} `etag`: `{etag}` does not match server `etag`: "
            f"`{current.etag}`",  # the SDK parses this and tries again
        )


def check_labels(resource: Any) -> None:
    """Refuse labels that the service would refuse.

    Raises:
        ApiError: a key or value is badly formed, or there are too many (400).
    """
    if "labels" not in resource.DESCRIPTOR.fields_by_name:
        return
    for key, value in resource.labels.items():
        for text, pattern in ((key, _LABEL_KEY), (value, _LABEL_VALUE)):
            if not re.fullmatch(pattern, text) or text != text.lower():
                raise errors.invalid(
                    f"Invalid label {key!r}: {value!r}. Keys begin with a letter; both have up to "
                    "63 lower-case letters, digits, underscores and dashes."
                )
    if len(resource.labels) > _MAXIMAL_LABELS:
        raise errors.invalid(f"There are more than {_MAXIMAL_LABELS} labels.")


def snake_case(name: str) -> str:
    """TensorboardRun -> tensorboard_run."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def stamp(call: Call, resource: Any, *times: str) -> None:
    """Set the times that a change sets, and the etag."""
    fields = resource.DESCRIPTOR.fields_by_name
    now = call.backend.clock.timestamp()
    for time in times:
        if time in fields:
            getattr(resource, time).CopyFrom(now)
    if "etag" in fields:
        resource.etag = str(now.ToMicroseconds())


def _fits(method: Method, verb: str, resource: str) -> bool:
    fields = method.request.DESCRIPTOR.fields_by_name
    if verb in ("Create", "Update"):
        return snake_case(resource) in fields
    if verb == "List":
        return "parent" in fields and _listed_field(method) != ""
    return "name" in fields and (verb == "Get" or method.response in (Empty, _OPERATION))


_OPERATION = operations_pb2.Operation


def _is_long_running(method: Method) -> bool:
    return method.response is _OPERATION


def _collection(method: Method) -> str:
    """The collection's name in the method's HTTP route, such as pipelineJobs."""
    routes = load_registry().routes_of(method)
    if not routes:
        return ""
    last = re.sub(r"[{}]|/\*", "", routes[0].template).rsplit("/", 1)[-1]
    return last.rsplit("=", 1)[-1]


def _listed_field(method: Method) -> str:
    for field in method.response.DESCRIPTOR.fields:
        if field.is_repeated and field.message_type:
            return str(field.name)
    return ""


def _listed_kind(method: Method) -> type[Message]:
    descriptor = method.response.DESCRIPTOR.fields_by_name[_listed_field(method)].message_type
    version = "v1beta1" if ".v1beta1." in descriptor.full_name else "v1"
    kind = message_type(descriptor.name, version)
    if kind is None:
        raise errors.unimplemented(f"{method.full_name} lists no resources.")
    return kind


def _page_token(request: Any, start: int) -> str:
    return base64.urlsafe_b64encode(f"{start}:{_query_hash(request)}".encode()).decode()


def _page_start(request: Any) -> int:
    if not request.page_token:
        return 0
    try:
        start, query = base64.urlsafe_b64decode(request.page_token).decode().split(":")
    except (ValueError, binascii.Error) as error:
        raise errors.invalid(f"Invalid page_token {request.page_token!r}.") from error
    if query != _query_hash(request):
        raise errors.invalid("page_token belongs to another query: parent, filter or order differ.")
    return int(start)


def _query_hash(request: Any) -> str:
    parts = [getattr(request, name, "") for name in ("parent", "name", "filter", "order_by")]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:8]
