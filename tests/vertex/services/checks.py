"""Checks that all services share."""

from __future__ import annotations

import re
from typing import Any

import grpc

from tests.vertex import errors
from tests.vertex.backend import Call

_LABEL_KEY = r"(?:[a-z.]+/)?[^\W\d_][\w-]{0,62}"
_LABEL_VALUE = r"[\w-]{0,63}"
_MAXIMAL_LABELS = 64


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
