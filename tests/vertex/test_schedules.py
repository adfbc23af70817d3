"""Tests of schedules, which the server's clock drives."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import aiplatform

from tests.vertex.errors import ApiError
from tests.vertex.local_vertex import LocalVertex
from tests.vertex.services.cron import next_time, times_between

NewJob = Callable[..., aiplatform.PipelineJob]
_WEEK = timedelta(days=7)


def _finish_all(vertex: LocalVertex) -> None:
    for job in vertex.resources("pipelineJobs"):
        if job["state"] == "PIPELINE_STATE_PENDING":
            vertex.finish(job["name"])


def _schedule(vertex: LocalVertex) -> dict[str, Any]:
    (schedule,) = vertex.resources("schedules")
    return schedule


def _run_count(vertex: LocalVertex) -> int:
    return len(vertex.resources("pipelineJobs"))


def test_fires_weekly_until_it_is_complete(sdk: LocalVertex, new_job: NewJob) -> None:
    schedule = new_job(labels={"team": "nlp"}).create_schedule(
        cron="TZ=America/New_York 0 9 * * 1", display_name="weekly", max_run_count=3
    )
    first = schedule.gca_resource.next_run_time

    for _ in range(5):
        sdk.clock.advance(_WEEK)
        _finish_all(sdk)

    jobs = schedule.list_jobs(enable_simple_view=False)
    assert schedule.state.name == "COMPLETED"
    assert [job.gca_resource.schedule_name for job in jobs] == [schedule.resource_name] * 3
    assert {job.labels["team"] for job in jobs} == {"nlp"}
    assert _schedule(sdk)["startedRunCount"] == "3"
    assert _schedule(sdk)["lastScheduledRunResponse"]["runResponse"] == "OK"
    started = sorted(job.create_time for job in jobs)
    assert [(time - first).days for time in started] == [0, 7, 14]
    assert sorted(job.name for job in jobs)[0].startswith(f"demo-{first:%Y%m%d%H}")


def test_fires_everything_on_the_way_in_order(sdk: LocalVertex, new_job: NewJob) -> None:
    new_job().create_schedule(cron="0 * * * *", display_name="hourly", max_concurrent_run_count=10)

    sdk.clock.advance(timedelta(hours=4))

    times = [job["createTime"] for job in sdk.resources("pipelineJobs")]
    assert len(times) == 4
    assert times == sorted(times)


def test_nothing_fires_unless_time_is_advanced(sdk: LocalVertex, new_job: NewJob) -> None:
    new_job().create_schedule(cron="* * * * *", display_name="minutely")

    assert _run_count(sdk) == 0
    with pytest.raises(ValueError, match="backwards"):
        sdk.clock.advance(-_WEEK)


@pytest.mark.parametrize(("queues", "after_two_weeks"), [(False, 1), (True, 2)])
def test_keeps_to_the_number_of_concurrent_runs(
    sdk: LocalVertex, new_job: NewJob, queues: bool, after_two_weeks: int
) -> None:
    new_job().create_schedule(
        cron="0 9 * * 1", display_name="w", max_concurrent_run_count=1, allow_queueing=queues
    )

    sdk.clock.advance(2 * _WEEK)

    assert _run_count(sdk) == 1
    if not queues:
        response = _schedule(sdk)["lastScheduledRunResponse"]["runResponse"]
        assert response.startswith("Skipped")
    _finish_all(sdk)
    assert _run_count(sdk) == after_two_weeks


@pytest.mark.parametrize(("catches_up", "expected"), [(False, 1), (True, 4)])
def test_pauses_and_resumes(
    sdk: LocalVertex, new_job: NewJob, catches_up: bool, expected: int
) -> None:
    schedule = new_job().create_schedule(
        cron="0 9 * * 1", display_name="w", max_concurrent_run_count=5
    )
    schedule.pause()
    assert (schedule.state.name, "nextRunTime" in _schedule(sdk)) == ("PAUSED", False)
    sdk.clock.advance(3 * _WEEK)
    assert _run_count(sdk) == 0

    # The SDK's resume() does not pass its argument catch_up on.
    schedule.api_client.resume_schedule(
        request={"name": schedule.resource_name, "catch_up": catches_up}
    )
    sdk.clock.advance(_WEEK)

    assert schedule.state.name == "ACTIVE"
    assert _run_count(sdk) == expected
    with pytest.raises(exceptions.BadRequest, match="ACTIVE, not PAUSED"):
        schedule.resume()


def test_keeps_to_start_and_end(sdk: LocalVertex, new_job: NewJob) -> None:
    now = sdk.clock.now()
    schedule = new_job().create_schedule(
        cron="0 9 * * *",
        display_name="daily",
        start_time=(now + timedelta(days=10)).isoformat(),
        end_time=(now + timedelta(days=12)).isoformat(),
        max_concurrent_run_count=9,
    )

    sdk.clock.advance(timedelta(days=9))
    assert _run_count(sdk) == 0
    sdk.clock.advance(timedelta(days=9))

    assert _run_count(sdk) == 2
    assert schedule.state.name == "COMPLETED"


def test_updates_the_next_run(sdk: LocalVertex, new_job: NewJob) -> None:
    schedule = new_job().create_schedule(cron="0 9 1 1 *", display_name="yearly")

    schedule.update(cron="0 9 * * *", display_name="daily")

    next_run = datetime.fromisoformat(_schedule(sdk)["nextRunTime"])
    assert next_run - sdk.clock.now() < timedelta(days=1)
    assert [item.display_name for item in aiplatform.PipelineJobSchedule.list()] == ["daily"]
    schedule.delete()
    assert sdk.resources("schedules") == []


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"cron": "every monday"}, "5 fields"),
        ({"cron": "61 * * * *"}, "Invalid cron"),
        ({"cron": "TZ=Mars/Base 0 9 * * *"}, "no time zone 'Mars/Base'"),
        ({"max_concurrent_run_count": 0}, "max_concurrent_run_count"),
        ({"end_time": "2020-01-01T00:00:00Z"}, "end_time"),
    ],
)
def test_refuses_bad_schedules(
    sdk: LocalVertex, new_job: NewJob, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(exceptions.BadRequest, match=problem):
        new_job().create_schedule(**{"cron": "0 9 * * *", "display_name": "bad", **options})

    assert sdk.resources("schedules") == []


def test_time_zones_know_summer() -> None:
    """New York's clocks go back on 1 November 2026: 9 o'clock moves from 13 to 14 UTC."""
    times = times_between(
        "TZ=America/New_York 0 9 * * 1",
        datetime(2026, 10, 25, tzinfo=UTC),
        datetime(2026, 11, 8, tzinfo=UTC),
    )

    assert times == [datetime(2026, 10, 26, 13, tzinfo=UTC), datetime(2026, 11, 2, 14, tzinfo=UTC)]


def test_a_cron_needs_five_fields() -> None:
    with pytest.raises(ApiError, match="5 fields"):
        next_time("0 0 9 * * 1", datetime(2026, 1, 1, tzinfo=UTC))
