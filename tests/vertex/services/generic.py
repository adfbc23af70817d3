"""Create, get, list, update and delete for every resource of every service.

A method named Create<Resource>, Get<Resource>, ... is served here unless its service has a handler
of its own. What differs between resources is read from the requests' fields and the HTTP routes.
"""

from __future__ import annotations

import random
import re
from typing import Any, TypeVar

from google.longrunning import operations_pb2
from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from tests.vertex import errors
from tests.vertex.backend import Call, Handler, check_id, handles_the_rest, require
from tests.vertex.registry import Method, load_registry
from tests.vertex.services.checks import check_etag, check_labels, check_parent, check_project
from tests.vertex.services.paging import listed_field, listed_kind, page

M = TypeVar("M", bound=Message)

_ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}"
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
    kind = listed_kind(call.method)
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
        return "parent" in fields and listed_field(method) != ""
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
