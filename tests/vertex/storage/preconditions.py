"""The conditions that a request sets on an object's generation and metageneration."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

# A query parameter, its field of the object, and whether the two must be equal.
_CONDITIONS = (
    ("GenerationMatch", "generation", True),
    ("GenerationNotMatch", "generation", False),
    ("MetagenerationMatch", "metageneration", True),
    ("MetagenerationNotMatch", "metageneration", False),
)


class PreconditionFailed(Exception):
    """A condition does not hold; ``status`` is 412, or 304 for a read of what is unchanged."""

    def __init__(self, status: HTTPStatus, condition: str) -> None:
        """Takes the status and the name of the condition."""
        super().__init__(
            f"At least one of the pre-conditions you specified did not hold: {condition}"
        )
        self.status = status


def check(
    query: Mapping[str, list[str]],
    resource: Mapping[str, Any] | None,
    prefix: str = "if",
    reading: bool = False,
) -> None:
    """Checks a request's conditions on one object.

    Args:
        query: The request's; of a repeated parameter the last counts.
        resource: The object's; None where there is none, whose generation is 0.
        prefix: Of the parameters' names: ``if``, or ``ifSource`` for the object copied from.
        reading: Whether the request only reads.

    Raises:
        PreconditionFailed: At the first that does not hold.
    """
    for suffix, name, equal in _CONDITIONS:
        wanted = query.get(prefix + suffix)
        if not wanted:
            continue
        current = str(resource[name]) if resource else "0"
        if (wanted[-1] == current) != equal:
            unchanged = reading and not equal
            status = HTTPStatus.NOT_MODIFIED if unchanged else HTTPStatus.PRECONDITION_FAILED
            raise PreconditionFailed(status, f"{prefix}{suffix}={wanted[-1]}, it is {current}")
