"""Answers of list calls: filtered, sorted, a page at a time."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Any

from google.protobuf.message import Message

from tests.vertex import errors
from tests.vertex.backend import Call
from tests.vertex.filters import Functions, Virtual, parse_filter, sort_resources
from tests.vertex.registry import Method, message_type

_DEFAULT_PAGE = 100
_MAXIMAL_PAGE = 1000


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
    kind = listed_kind(call.method)
    matches = parse_filter(getattr(request, "filter", ""), kind, virtual, functions)
    found = [resource for resource in resources if matches(resource)]
    found = sort_resources(found, getattr(request, "order_by", ""))
    size = request.page_size
    if size < 0:
        raise errors.invalid(f"page_size must not be negative, not {size}.")
    start = _page_start(request)
    end = start + min(size or _DEFAULT_PAGE, _MAXIMAL_PAGE)
    response: Any = call.method.response()
    getattr(response, listed_field(call.method)).extend(found[start:end])
    if end < len(found):
        response.next_page_token = _page_token(request, end)
    return response


def listed_field(method: Method) -> str:
    """The field of a list response that holds the resources, "" if there is none."""
    for field in method.response.DESCRIPTOR.fields:
        if field.is_repeated and field.message_type:
            return str(field.name)
    return ""


def listed_kind(method: Method) -> type[Message]:
    """The class of the resources that a method lists."""
    descriptor = method.response.DESCRIPTOR.fields_by_name[listed_field(method)].message_type
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
