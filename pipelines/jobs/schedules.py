"""A schedule on every platform: when it starts runs, and how every run gets its own name."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.pipelines.requests.request import Request

STATES = ("active", "paused", "completed")
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

    def ends(self, zone: tzinfo) -> tuple[dict[str, datetime], list[Problem]]:
        """Reads the first and the last moment.

        Args:
            zone: Of times that have none.

        Returns:
            ``start`` and ``end`` where they are given, and what is wrong with them.
        """
        times: dict[str, datetime] = {}
        problems = []
        for field, text in (("start", self.start), ("end", self.end)):
            try:
                if text:
                    time = datetime.fromisoformat(text)
                    times[field] = time if time.tzinfo else time.replace(tzinfo=zone)
            except ValueError:
                allowed = "ISO 8601, such as 2026-12-01T09:00"
                problems.append(Problem(f"{text!r} is no time.", f"--{field}", allowed))
        end = times.get("end")
        if end and end <= times.get("start", datetime.now(UTC)):
            problems.append(Problem("it ends before it starts.", "--end", "a time after --start"))
        return times, problems


@dataclass(frozen=True)
class ScheduleView:
    """A schedule as people want to see it.

    Attributes:
        name: Full resource name on Vertex AI, the recurring run's id on Kubeflow.
        display_name: Its name for people.
        state: One of ``STATES``.
        cron: When it starts runs, in the platform's own words.
        next_run: The time of the next run; None where there is none, or where it is not told.
        start: First moment.
        end: Last moment.
        runs: How many runs there were, for people.
        account: Account that the runs work as.
        model: Display name of the tuned models.
        parent: Model that gets a version with every run.
        content: All there is, for programs.
    """

    name: str
    display_name: str
    state: str
    cron: str
    next_run: datetime | None
    start: datetime | None
    end: datetime | None
    runs: str
    account: str
    model: str
    parent: str
    content: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]


def name_problems(name: str, limit: int) -> list[Problem]:
    """Checks a schedule's name.

    Args:
        name: The name.
        limit: How many letters it may have.

    Returns:
        What is wrong.
    """
    if name.strip() and len(name) <= limit and name.isprintable():
        return []
    allowed = f"1 to {limit} printable characters"
    return [Problem(f"{name!r} cannot name a schedule.", "--name", allowed)]


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
        short = f"{short}-{digest(display_name)[:8]}".lstrip("-")
    return short if short[:1].isalpha() else f"m-{short}".rstrip("-")


def digest(text: str) -> str:
    """Makes 64 letters that only this text has."""
    return hashlib.sha256(text.encode()).hexdigest()
