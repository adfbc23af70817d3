"""Schedules: made once however often they are asked for, looked up, paused, deleted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.api_core import exceptions

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.vertex import ONCE, READ, Vertex, ensure, wait
from kfp_llm_tuning.components.common.vertex_errors import explained
from kfp_llm_tuning.pipelines.vertex.filters import quoted
from kfp_llm_tuning.pipelines.vertex.job_request import api_of
from kfp_llm_tuning.pipelines.vertex.schedule_request import TOKEN_LABEL

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1 import ScheduleServiceClient
    from google.cloud.aiplatform_v1.types import Schedule

_LIVE = ("ACTIVE", "PAUSED")


@dataclass(frozen=True)
class CreatedVertexSchedule:
    """A schedule that is there.

    Attributes:
        schedule: As Vertex AI has it.
        was_there: Whether the same request had made it before.
        deleted: Names of the twins that a repeated delivery had made.
    """

    schedule: Schedule
    was_there: bool
    deleted: tuple[str, ...]


def create(vertex: Vertex, body: Mapping[str, Any]) -> CreatedVertexSchedule:
    """Makes a schedule unless the same request made it before.

    Vertex AI takes no id for a schedule: a request that was delivered twice makes two. So it is
    looked for by its name and by the digest on its job before every try, and afterwards the
    youngest of twins are deleted.

    Args:
        vertex: Where.
        body: From ``schedule_body``.

    Returns:
        The schedule.

    Raises:
        UserError: If Vertex AI refuses, or if another schedule has the name.
    """
    api = api_of(body["createPipelineJobRequest"]["pipelineJob"])
    client: ScheduleServiceClient = vertex.client(api.ScheduleServiceClient)
    name, token = body["displayName"], _token_of(body)
    alive = _alive(client, vertex, name, READ)
    if others := [schedule for schedule in alive if _token(schedule) != token]:
        raise UserError(_name_is_taken(name, others[0]))
    message = api.Schedule.from_json(json.dumps(body))

    def twins(how: Mapping[str, Any]) -> list[Schedule]:
        found = _alive(client, vertex, name, how)
        return [schedule for schedule in found if _token(schedule) == token]

    made = ensure(
        find=lambda: next(iter(twins(ONCE)), None),
        make=lambda: client.create_schedule(parent=vertex.parent, schedule=message, **ONCE),
        doing=f"make the schedule {name}",
    ).resource
    with explained(f"look for twins of the schedule {name}"):
        kept, *extra = twins(READ) or [made]
    for schedule in extra:
        delete(vertex, schedule)
    return CreatedVertexSchedule(kept, bool(alive), tuple(schedule.name for schedule in extra))


def list_schedules(vertex: Vertex, state: str = "") -> list[Schedule]:
    """Lists schedules of pipelines, the newest first.

    Args:
        vertex: Where.
        state: active, paused, completed, or empty for all.

    Returns:
        The schedules.

    Raises:
        UserError: If Vertex AI refuses.
    """
    terms = ["create_pipeline_job_request:*"]
    if state:
        terms.append(f"state={quoted(state.upper())}")
    request = {
        "parent": vertex.parent,
        "filter": " AND ".join(terms),
        "order_by": "create_time desc",
    }
    with explained("list the schedules"):
        return list(_client(vertex).list_schedules(request=request, **READ))


def find(vertex: Vertex, schedule: str) -> Schedule:
    """Looks a schedule up.

    Args:
        vertex: Where.
        schedule: Its number, its full resource name, or its name for people.

    Returns:
        The schedule.

    Raises:
        UserError: If there is none, or if several have the name.
    """
    client = _client(vertex)
    with explained(f"read the schedule {schedule}", "SCHEDULE"):
        if schedule.isdecimal():
            schedule = f"{vertex.parent}/schedules/{schedule}"
        if schedule.startswith("projects/"):
            return client.get_schedule(name=schedule, **READ)
        request = {"parent": vertex.parent, "filter": f"display_name={quoted(schedule)}"}
        found = list(client.list_schedules(request=request, **READ))
    found = [one for one in found if one.state.name in _LIVE] or found
    if len(found) != 1:
        numbers = ", ".join(one.name.rpartition("/")[2] for one in found)
        what = f"{len(found)} schedules are" if found else "no schedule is"
        fix = f"Give one of {numbers}." if found else "`schedule list` lists them."
        raise UserError(Problem(f"{what} called {schedule!r}.", "SCHEDULE", fix=fix))
    return found[0]


def pause(vertex: Vertex, schedule: Schedule) -> None:
    """Keeps a schedule from starting runs.

    Args:
        vertex: Where.
        schedule: From ``find``; a paused one stays as it is.

    Raises:
        UserError: If Vertex AI refuses, as for a completed schedule.
    """
    client = _client(vertex)
    _ensure_state(
        client,
        schedule,
        "PAUSED",
        lambda: client.pause_schedule(name=schedule.name, **ONCE),
        f"pause the schedule {schedule.display_name}",
    )


def resume(vertex: Vertex, schedule: Schedule, catch_up: bool = False) -> None:
    """Lets a paused schedule start runs again.

    Args:
        vertex: Where.
        schedule: From ``find``; an active one stays as it is.
        catch_up: Whether runs that were left out are made up for.

    Raises:
        UserError: If Vertex AI refuses, as for a completed schedule.
    """
    client = _client(vertex)
    request = {"name": schedule.name, "catch_up": catch_up}
    _ensure_state(
        client,
        schedule,
        "ACTIVE",
        lambda: client.resume_schedule(request=request, **ONCE),
        f"resume the schedule {schedule.display_name}",
    )


def delete(vertex: Vertex, schedule: Schedule) -> None:
    """Deletes a schedule; its runs stay.

    Args:
        vertex: Where.
        schedule: From ``find``; one that is gone by now is no error.

    Raises:
        UserError: If Vertex AI refuses.
    """
    doing = f"delete the schedule {schedule.name}"
    with explained(doing):
        try:
            operation = _client(vertex).delete_schedule(name=schedule.name, **READ)
        except exceptions.NotFound:
            return
    wait(operation, doing)


def _client(vertex: Vertex) -> ScheduleServiceClient:
    from google.cloud.aiplatform_v1 import ScheduleServiceClient

    return vertex.client(ScheduleServiceClient)


def _alive(
    client: ScheduleServiceClient, vertex: Vertex, name: str, how: Mapping[str, Any]
) -> list[Schedule]:
    """Lists the schedules of a name that may still start runs, the oldest first."""
    request = {"parent": vertex.parent, "filter": f"display_name={quoted(name)}"}
    found = client.list_schedules(request=request, **how)
    alive = [schedule for schedule in found if schedule.state.name in _LIVE]
    return sorted(alive, key=lambda schedule: (schedule.create_time, schedule.name))


def _ensure_state(
    client: ScheduleServiceClient, schedule: Schedule, state: str, change: Any, doing: str
) -> None:
    def reached() -> Schedule | None:
        now = client.get_schedule(name=schedule.name, **ONCE)
        return now if now.state.name == state else None

    # The methods answer with nothing: what they did is read again.
    ensure(find=reached, make=lambda: change() or reached(), doing=doing, where="SCHEDULE")


def _token(schedule: Schedule) -> str:
    job = schedule.create_pipeline_job_request.pipeline_job
    return str(job.labels.get(TOKEN_LABEL, ""))


def _token_of(body: Mapping[str, Any]) -> str:
    return str(body["createPipelineJobRequest"]["pipelineJob"]["labels"][TOKEN_LABEL])


def _name_is_taken(name: str, other: Schedule) -> Problem:
    number = other.name.rpartition("/")[2]
    return Problem(
        f"another schedule is called {name!r} ({number}, {other.cron}).",
        "--name",
        fix=f"Give another name, or first: kfp-llm-tuning schedule delete {number}",
    )
