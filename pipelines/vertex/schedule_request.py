"""Makes the request of a schedule: when it runs, and a job in which every run has its own name."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from kfp_llm_tuning.components.common.errors import Problem, UserError, raise_all
from kfp_llm_tuning.pipelines.requests import Request
from kfp_llm_tuning.pipelines.vertex.cron import with_time_zone

# On the job of a schedule: which request made the schedule. What is asked for twice has it twice.
TOKEN_LABEL = "kfp-llm-tuning-schedule"
_DATES = ("{date}", "{time}")


@dataclass(frozen=True)
class Timing:
    """When a schedule starts runs.

    Attributes:
        cron: Five fields, ``TZ=ZONE`` in front allowed.
        time_zone: A name of the IANA database; empty for the one in the expression, else UTC.
        start: ISO 8601; empty for now. A time without a zone is one of the time zone.
        end: ISO 8601; empty for never.
        max_runs: How many runs; 0 for no limit.
        max_concurrent: How many runs at a time.
        allow_queueing: Whether a run that finds no place waits, instead of being left out.
    """

    cron: str
    time_zone: str = ""
    start: str = ""
    end: str = ""
    max_runs: int = 0
    max_concurrent: int = 1
    allow_queueing: bool = False


def for_every_run(request: Request) -> Request:
    """Gives every run a dated model name and all runs one parent model.

    Args:
        request: What to run; a name with ``{date}`` or ``{time}`` and a ``parent_model``, even an
            empty one, are left as they are.

    Returns:
        The request.
    """
    values = dict(request.values)
    name = str(values.get("model_display_name", ""))
    values.setdefault("parent_model", model_id(name))
    if not any(date in name for date in _DATES):
        values["model_display_name"] = f"{name}-{{date}}"
    return dataclasses.replace(request, values=values)


def model_id(display_name: str) -> str:
    """Makes the id of the model that gets a version with every run."""
    for date in _DATES:
        display_name = display_name.replace(date, "")
    short = re.sub(r"[^a-z0-9_]+", "-", display_name.lower()).strip("-")[:50].rstrip("-")
    if not display_name.isascii():
        # Names of other scripts would all be one.
        short = f"{short}-{_digest(display_name)[:8]}".lstrip("-")
    return short if short[:1].isalpha() else f"m-{short}".rstrip("-")


def schedule_body(
    name: str, timing: Timing, parent: str, job_body: Mapping[str, Any]
) -> dict[str, Any]:
    """Makes the REST body of a schedule.

    Args:
        name: Its name for people.
        timing: When it starts runs.
        parent: ``projects/PROJECT/locations/LOCATION``.
        job_body: The body of every run's job.

    Returns:
        The body of ``projects.locations.schedules.create``; its job is labelled with a digest of
        the rest.

    Raises:
        UserError: With everything that is wrong with name and timing.
    """
    problems = _count_problems(timing)
    if not name.strip() or len(name) > 128 or not name.isprintable():
        allowed = "1 to 128 printable characters"
        problems.append(Problem(f"{name!r} cannot name a schedule.", "--name", allowed))
    cron = ""
    times: dict[str, str] = {}
    try:
        cron = with_time_zone(timing.cron, timing.time_zone)
    except UserError as error:
        problems += error.problems
    else:
        times, time_problems = _times(timing, cron)
        problems += time_problems
    raise_all(problems)
    body = {
        "displayName": name,
        "cron": cron,
        **times,
        "maxConcurrentRunCount": str(timing.max_concurrent),
        "allowQueueing": timing.allow_queueing,
        "createPipelineJobRequest": {"parent": parent, "pipelineJob": dict(job_body)},
    }
    if timing.max_runs:
        body["maxRunCount"] = str(timing.max_runs)
    return _with_token(body)


def _count_problems(timing: Timing) -> list[Problem]:
    problems = []
    if timing.max_runs < 0:
        problems.append(Problem(f"{timing.max_runs} is negative.", "--max-runs", "1 or more"))
    if timing.max_concurrent < 1:
        what = f"{timing.max_concurrent} lets no run start."
        problems.append(Problem(what, "--max-concurrent", "1 or more"))
    return problems


def _times(timing: Timing, cron: str) -> tuple[dict[str, str], list[Problem]]:
    zone = ZoneInfo(cron.split()[0].removeprefix("TZ="))
    times: dict[str, datetime] = {}
    problems = []
    for field, option, text in (
        ("startTime", "--start", timing.start),
        ("endTime", "--end", timing.end),
    ):
        try:
            if text:
                time = datetime.fromisoformat(text)
                times[field] = time if time.tzinfo else time.replace(tzinfo=zone)
        except ValueError:
            allowed = "ISO 8601, such as 2026-12-01T09:00"
            problems.append(Problem(f"{text!r} is no time.", option, allowed))
    end = times.get("endTime")
    if end and end <= times.get("startTime", datetime.now(UTC)):
        problems.append(Problem("it ends before it starts.", "--end", "a time after --start"))
    return {
        field: time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for field, time in times.items()
    }, problems


def _with_token(body: dict[str, Any]) -> dict[str, Any]:
    job = body["createPipelineJobRequest"]["pipelineJob"]
    job["labels"] = {
        **job.get("labels", {}),
        TOKEN_LABEL: _digest(json.dumps(body, sort_keys=True))[:32],
    }
    return body


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
