"""Points of curves, as a trainer's log entries hold them and as a tracker takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# Keys of a log entry that are no metric.
_STEP, _WALL_TIME = "step", "wall_time"


@dataclass(frozen=True)
class CurvePoint:
    """One value of one TensorBoard tag.

    Attributes:
        name: The tag without its leading slash, which MLflow refuses.
        value: The value; may be NaN.
        step: Optimiser steps done.
        time: When it was logged, in seconds since the epoch; None where the tuner did not say.
    """

    name: str
    value: float
    step: int
    time: float | None


def points_of(entry: Mapping[str, Any]) -> Iterator[CurvePoint]:
    """Takes a log entry apart.

    Args:
        entry: ``step``, ``wall_time`` in seconds since the epoch where it is known, and values by
            tag.

    Yields:
        A point for each tag whose value is a number.
    """
    step, time = int(entry[_STEP]), entry.get(_WALL_TIME)
    for name, value in flatten(entry):
        if name not in (_STEP, _WALL_TIME) and is_number(value):
            yield CurvePoint(name, float(value), step, time)


def is_number(value: object) -> bool:
    """Whether a value of a JSON document is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Walks nested objects; lists and missing values have no place in a table and are left out.

    Args:
        values: The object.
        prefix: Put before each name.

    Yields:
        Names joined by ``/`` without doubled or leading slashes, and their values.
    """
    for key, value in values.items():
        name = f"{prefix}/{key.strip('/')}".strip("/")
        if isinstance(value, Mapping):
            yield from flatten(value, name)
        elif value is not None and not isinstance(value, list):
            yield name, value
