"""Makes the request of a recurring run: when it starts runs, and what each of them does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, collect, raise_all
from kfp_llm_tuning.pipelines.jobs.cron import with_time_zone
from kfp_llm_tuning.pipelines.jobs.schedules import Timing, digest, name_problems
from kfp_llm_tuning.pipelines.kubeflow.run_settings import MAX_TEXT, RunNote

# The service's own limit.
_MAX_CONCURRENT = 10
_UTC_ZONES = ("UTC", "Etc/UTC")
_LAST_WEEKDAY, _DAYS_OF_A_WEEK = 6, 7
_TOKEN_LENGTH = 32


def recurring_run_body(
    name: str, timing: Timing, labels: Mapping[str, str], run_body: Mapping[str, Any]
) -> dict[str, Any]:
    """Makes the body of a recurring run.

    Args:
        name: Its name for people.
        timing: When it starts runs.
        labels: The user's.
        run_body: What every run does, without its own name.

    Returns:
        The body; its description holds a digest of the rest.

    Raises:
        UserError: With everything that is wrong with name and timing.
    """
    problems = name_problems(name, MAX_TEXT)
    cron = ""
    with collect(problems):
        cron = seconds_first(timing.cron, timing.time_zone)
    times, time_problems = timing.ends(UTC)
    problems += time_problems
    if not 1 <= timing.max_concurrent <= _MAX_CONCURRENT:
        what = f"{timing.max_concurrent} is out of range."
        problems.append(Problem(what, "--max-concurrent", f"from 1 to {_MAX_CONCURRENT}"))
    raise_all(problems)
    ends = {
        f"{field}_time": time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for field, time in times.items()
    }
    body = {
        **run_body,
        "display_name": name,
        "mode": "ENABLE",
        "max_concurrency": str(timing.max_concurrent),
        "no_catchup": not timing.allow_queueing,
        "trigger": {"cron_schedule": {"cron": cron, **ends}},
    }
    token = digest(json.dumps([body, dict(labels)], sort_keys=True))[:_TOKEN_LENGTH]
    note = str(RunNote(token, labels))
    if len(note) > MAX_TEXT:
        allowed = f"{MAX_TEXT - len(str(RunNote(token)))} in all, written as JSON"
        raise_all([Problem("they are too many characters.", "--label", allowed)])
    return {**body, "description": note}


def seconds_first(cron: str, time_zone: str) -> str:
    """Writes a cron expression as Kubeflow's scheduler reads it.

    Args:
        cron: Five fields.
        time_zone: UTC, or empty.

    Returns:
        Six fields: the first is the second, and Sunday is 0.

    Raises:
        UserError: With everything that is wrong.
    """
    zone, *fields = with_time_zone(cron, time_zone).split()
    if zone.removeprefix("TZ=") not in _UTC_ZONES:
        raise_all(
            [
                Problem(
                    "a cluster's scheduler has one time zone for all, by default UTC.",
                    "--time-zone",
                    "UTC, or empty for the cluster's own",
                    "Write the times in the cluster's time zone (its CRON_SCHEDULE_TIMEZONE).",
                )
            ]
        )
    *others, weekdays = fields
    return " ".join(["0", *others, _weekdays(weekdays)])


def _weekdays(field: str) -> str:
    """Writes Sunday as 0: the scheduler knows no 7."""
    if str(_DAYS_OF_A_WEEK) not in field:
        return field
    return ",".join(str(day) for day in sorted(set(_numbers(field))))


def _numbers(field: str) -> list[int]:
    days: list[int] = []
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        if not first.isdecimal() and str(_DAYS_OF_A_WEEK) not in part:
            raise_all([_mixed(field)])
        low = 0 if first == "*" else int(first)
        high = int(last) if last else (_LAST_WEEKDAY if step or first == "*" else low)
        days += [day % _DAYS_OF_A_WEEK for day in range(low, high + 1, int(step or 1))]
    return days


def _mixed(field: str) -> Problem:
    allowed = "numbers from 0 to 6, or names such as mon-fri"
    return Problem(f"{field!r} mixes 7 with names.", "--cron", allowed)
