"""Cron expressions of schedules, with their time zone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import takewhile
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterBadCronError, croniter

from tests.vertex import errors

_FIELDS = 5


def next_time(cron: str, after: datetime) -> datetime:
    """The first time of an expression after a given one.

    Args:
        cron: Five fields; "TZ=Europe/Paris " or "CRON_TZ=Europe/Paris " may stand before them.
        after: A time with its zone.

    Returns:
        The time, in UTC.

    Raises:
        ApiError: the expression or its zone is wrong (400).
    """
    zone, expression = _split(cron)
    try:
        found: datetime = croniter(expression, after.astimezone(zone)).get_next(datetime)
    except (CroniterBadCronError, ValueError) as error:
        raise errors.invalid(f"Invalid cron {cron!r}: {error}") from error
    return found.astimezone(UTC)


def times_between(cron: str, after: datetime, end: datetime) -> list[datetime]:
    """All times of an expression after one time up to another."""
    return list(takewhile(lambda time: time <= end, _times(cron, after)))


def _times(cron: str, after: datetime) -> Iterator[datetime]:
    while True:
        after = next_time(cron, after)
        yield after


def _split(cron: str) -> tuple[ZoneInfo, str]:
    found = re.fullmatch(r"(?:(?:CRON_)?TZ=(\S+)\s+)?(.*)", cron.strip())
    name, expression = found.groups() if found else (None, cron)
    if len(expression.split()) != _FIELDS:
        raise errors.invalid(f"Invalid cron {cron!r}: {_FIELDS} fields are needed.")
    try:
        return ZoneInfo(name or "UTC"), expression
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise errors.invalid(f"Invalid cron {cron!r}: there is no time zone {name!r}.") from error
