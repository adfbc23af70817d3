"""Schedules against the local Vertex AI: whatever goes wrong, there is one or a clear error."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.vertex import Vertex
from kfp_llm_tuning.pipelines.jobs.schedules import Timing
from kfp_llm_tuning.pipelines.vertex import jobs, schedules
from kfp_llm_tuning.pipelines.vertex.schedule_request import schedule_body
from tests.vertex.faults import Kind
from tests.vertex.local_vertex import LocalVertex

CREATE, LIST = "ScheduleService.CreateSchedule", "ScheduleService.ListSchedules"
DELETE = "ScheduleService.DeleteSchedule"


@pytest.fixture
def body(place: Vertex, job_body: dict[str, Any]) -> dict[str, Any]:
    return schedule_body("weekly", Timing("0 9 * * 1"), place.parent, job_body)


def there(server: LocalVertex) -> list[str]:
    return [schedule["name"] for schedule in server.resources("schedules")]


@pytest.mark.parametrize("after_commit", [False, True])
@pytest.mark.parametrize("kind", ["unavailable", "quota", "reset", "slow", "duplicate"])
@pytest.mark.parametrize("method", [CREATE, LIST])
def test_a_fault_at_any_call_leaves_one_schedule(
    vertex_server: LocalVertex,
    no_backoff: None,
    place: Vertex,
    body: dict[str, Any],
    method: str,
    kind: Kind,
    after_commit: bool,
) -> None:
    vertex_server.faults.inject(method, kind, 2, after_commit, seconds=0.1)
    made = schedules.create(place, body)
    assert there(vertex_server) == [made.schedule.name]
    assert len(made.deleted) == (method == CREATE and kind == "duplicate")


@pytest.mark.parametrize("kind", ["unavailable", "reset", "permission"])
def test_a_fault_that_stays_is_told_and_the_same_command_goes_on(
    vertex_server: LocalVertex,
    no_backoff: None,
    place: Vertex,
    body: dict[str, Any],
    kind: Kind,
) -> None:
    vertex_server.faults.inject(CREATE, kind, 1000)
    with pytest.raises(UserError, match="could not make the schedule weekly"):
        schedules.create(place, body)
    vertex_server.faults.clear()
    schedules.create(place, body)
    assert len(there(vertex_server)) == 1


@pytest.mark.parametrize("kind", ["unavailable", "reset", "duplicate"])
@pytest.mark.parametrize("after_commit", [False, True])
def test_twins_go_though_deleting_them_fails_at_first(
    vertex_server: LocalVertex,
    no_backoff: None,
    place: Vertex,
    body: dict[str, Any],
    kind: Kind,
    after_commit: bool,
) -> None:
    vertex_server.faults.inject(CREATE, "duplicate")
    vertex_server.faults.inject(DELETE, kind, 1, after_commit)
    made = schedules.create(place, body)
    assert there(vertex_server) == [made.schedule.name]


def test_asked_for_twice_is_made_once(
    vertex_server: LocalVertex, place: Vertex, body: dict[str, Any]
) -> None:
    first = schedules.create(place, copy.deepcopy(body))
    second = schedules.create(place, body)
    assert (first.was_there, second.was_there) == (False, True)
    assert there(vertex_server) == [second.schedule.name]


def test_the_name_of_another_schedule_is_refused(
    vertex_server: LocalVertex, place: Vertex, body: dict[str, Any], job_body: dict[str, Any]
) -> None:
    schedules.create(place, body)
    other = schedule_body("weekly", Timing("0 8 * * 1"), place.parent, job_body)
    with pytest.raises(UserError, match="another schedule is called 'weekly'.*schedule delete"):
        schedules.create(place, other)


def test_a_deleted_schedule_can_be_made_again(
    vertex_server: LocalVertex, place: Vertex, body: dict[str, Any]
) -> None:
    first = schedules.create(place, body).schedule
    schedules.delete(place, first)
    schedules.delete(place, first)
    second = schedules.create(place, body)
    assert not second.was_there
    assert there(vertex_server) == [second.schedule.name]


@pytest.mark.parametrize("after_commit", [False, True])
@pytest.mark.parametrize("kind", ["unavailable", "reset", "duplicate"])
def test_pause_and_resume(
    vertex_server: LocalVertex,
    no_backoff: None,
    place: Vertex,
    body: dict[str, Any],
    kind: Kind,
    after_commit: bool,
) -> None:
    made = schedules.create(place, body).schedule
    for method in ("PauseSchedule", "ResumeSchedule"):
        vertex_server.faults.inject(f"ScheduleService.{method}", kind, 1, after_commit)
    schedules.pause(place, made)
    schedules.pause(place, made)
    assert schedules.find(place, "weekly").state.name == "PAUSED"
    schedules.resume(place, made)
    assert schedules.find(place, "weekly").state.name == "ACTIVE"
    assert vertex_server.faults.waiting == []


def test_find(vertex_server: LocalVertex, place: Vertex, body: dict[str, Any]) -> None:
    made = schedules.create(place, body).schedule
    for address in ("weekly", made.name, made.name.rpartition("/")[2]):
        assert schedules.find(place, address).name == made.name
    with pytest.raises(UserError, match="no schedule is called 'other'"):
        schedules.find(place, "other")
    with pytest.raises(UserError, match="could not read the schedule 12345"):
        schedules.find(place, "12345")


def test_list(vertex_server: LocalVertex, place: Vertex, body: dict[str, Any]) -> None:
    made = schedules.create(place, body).schedule
    schedules.pause(place, made)
    assert [one.name for one in schedules.list_schedules(place)] == [made.name]
    assert [one.name for one in schedules.list_schedules(place, "paused")] == [made.name]
    assert schedules.list_schedules(place, "active") == []


def test_weeks_pass(vertex_server: LocalVertex, place: Vertex, job_body: dict[str, Any]) -> None:
    timing = Timing("0 9 * * 1", "Europe/Berlin", max_runs=3, max_concurrent=3)
    made = schedules.create(place, schedule_body("weekly", timing, place.parent, job_body)).schedule
    vertex_server.clock.advance(timedelta(days=40))
    runs = jobs.runs_of(place, made.name, 10)
    assert len(runs) == 3
    assert schedules.find(place, made.name).state.name == "COMPLETED"
    assert len(jobs.runs_of(place, made.name, 2)) == 2
