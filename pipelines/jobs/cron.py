"""Cron expressions, checked before a service is asked."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.wording import short

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MOST_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Each field: its name, the lowest and the highest number, and names that stand for numbers.
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, start=1)}),
    ("day of the week", 0, 7, {name: number for number, name in enumerate(_DAYS)}),
)
_PART = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>[0-9]+))?")
_ZONE_PREFIX = re.compile(r"(?:CRON_)?TZ=(?P<zone>\S+)\s+")
_EXAMPLE = "five fields: minute hour day month weekday, such as 0 9 * * 1"
# Starts within one hour from which a schedule is told to start runs too often: no run is done by
# then, and nobody means so many models.
_MANY_STARTS = 6


def with_time_zone(cron: str, time_zone: str) -> str:
    """Checks a cron expression and puts its time zone in front.

    Args:
        cron: Five fields; ``TZ=ZONE`` may stand in front.
        time_zone: A name of the IANA database, such as Europe/Berlin; empty for the one in front
            of the expression, else UTC.

    Returns:
        ``TZ=ZONE MINUTE HOUR DAY MONTH WEEKDAY``.

    Raises:
        UserError: With everything that is wrong.
    """
    prefix = _ZONE_PREFIX.match(cron.strip())
    fields = cron.strip()[prefix.end() if prefix else 0 :].split()
    zone = time_zone or (prefix["zone"] if prefix else "UTC")
    problems = _zone_problems(zone)
    if prefix and time_zone and prefix["zone"] != time_zone:
        what = f"{prefix['zone']} stands in the expression and {time_zone} beside it."
        problems.append(Problem(what, "--cron, --time-zone", fix="Give one of them."))
    if len(fields) != len(_FIELDS):
        problems.append(Problem(f"{short(cron)} has {len(fields)} fields.", "--cron", _EXAMPLE))
    else:
        for text, (name, low, high, names) in zip(fields, _FIELDS, strict=True):
            if not _is_field(text.lower(), low, high, names):
                allowed = f"{name} from {low} to {high}, *, ranges a-b, lists a,b and steps /n"
                problems.append(Problem(f"{short(text)} is no {name}.", "--cron", allowed))
        if not problems and _never_comes(*fields[2:]):
            what = f"{short(' '.join(fields))} never comes: no such month has such a day."
            problems.append(Problem(what, "--cron", "a day that one of the months has"))
    if problems:
        raise UserError(*problems)
    return f"TZ={zone} {' '.join(fields)}"


def frequency_notes(cron: str) -> tuple[str, ...]:
    """Tells of an expression that starts runs every few minutes.

    Args:
        cron: An expression that :func:`with_time_zone` took.

    Returns:
        One sentence, or none.
    """
    minute, *others = cron.split()[-len(_FIELDS) :]
    starts = len(_numbers(minute, _FIELDS[0]))
    if starts < _MANY_STARTS:
        return ()
    return (
        f"{minute} {' '.join(others)} starts {starts} runs in each of its hours, and each of them "
        f"tunes a model. Once an hour would be 0 {' '.join(others)}.",
    )


def _zone_problems(zone: str) -> list[Problem]:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        allowed = "a name of the IANA database, such as Europe/Berlin"
        return [Problem(f"{short(zone)} is no time zone.", "--time-zone", allowed)]
    return []


def _is_field(text: str, low: int, high: int, names: dict[str, int]) -> bool:
    return all(_is_part(part, low, high, names) for part in text.split(","))


def _is_part(text: str, low: int, high: int, names: dict[str, int]) -> bool:
    match = _PART.fullmatch(text)
    if not match or match["step"] and int(match["step"]) < 1:
        return False
    ends = [_number(end, names) for end in match.group("first", "last") if end is not None]
    in_range = all(low <= end <= high for end in ends)
    return in_range and ends == sorted(ends)


def _never_comes(day: str, month: str, weekday: str) -> bool:
    """Tells whether no month has a day; where a weekday is given too, either of them is enough."""
    if not weekday.startswith("*"):
        return False
    months = _numbers(month.lower(), _FIELDS[3])
    return min(_numbers(day, _FIELDS[2])) > max(_MOST_DAYS[number - 1] for number in months)


def _numbers(text: str, field: tuple[str, int, int, dict[str, int]]) -> set[int]:
    """Lists the numbers of a field that is one."""
    _, low, high, names = field
    numbers: set[int] = set()
    for match in filter(None, map(_PART.fullmatch, text.split(","))):
        step = int(match["step"] or 1)
        first = _number(match["first"], names) if match["first"] else low
        # A single number with a step goes on to the end, as cron has it.
        single = match["first"] and not match["step"]
        last = _number(match["last"], names) if match["last"] else first if single else high
        numbers |= set(range(first, last + 1, step))
    return numbers


def _number(text: str, names: dict[str, int]) -> int:
    return names.get(text, int(text) if text.isdecimal() and text.isascii() else -1)
