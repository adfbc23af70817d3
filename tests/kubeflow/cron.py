"""Cron expressions as the scheduler reads them: robfig/cron v1, seconds first, no time zone."""

from __future__ import annotations

from datetime import UTC, datetime

from croniter import CroniterBadCronError, croniter

from tests.kubeflow.errors import invalid

_DESCRIPTORS = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}


def check_cron(expression: str) -> None:
    """Refuse an expression that the scheduler cannot read.

    Raises:
        ApiError: it cannot (400).
    """
    next_time(expression, datetime.now(UTC))


def next_time(expression: str, after: datetime) -> datetime:
    """The first time of an expression after a given one.

    The weekday may be left out: of five fields the first one is the second, not the minute.

    Args:
        expression: Five or six fields, or a word such as @daily.
        after: A time with its zone.

    Returns:
        The time, in UTC.

    Raises:
        ApiError: the expression is wrong (400).
    """
    fields = _DESCRIPTORS.get(expression.lower(), expression).split()
    if not 5 <= len(fields) <= 6:
        raise _refused(f"Expected 5 to 6 fields, found {len(fields)}: {expression}")
    fields += ["*"] * (6 - len(fields))
    if "7" in fields[5]:
        raise _refused(f"End of range (7) above maximum (6): {fields[5]}")
    text = " ".join(fields).replace("?", "*")
    try:
        iterator = croniter(text, after.astimezone(UTC), second_at_beginning=True)
        found: datetime = iterator.get_next(datetime)
    except (CroniterBadCronError, ValueError) as error:
        raise _refused(str(error)) from error
    return found


def _refused(reason: str) -> Exception:
    return invalid(
        "Schedule cron is not a supported format(https://godoc.org/github.com/robfig/cron). "
        f"Error: {reason}"
    )
