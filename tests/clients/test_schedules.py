"""PipelineJobSchedule of google-cloud-aiplatform, on the compiled templates."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.clients.conftest import StartVertex
from tests.clients.environments import SDK_VERSIONS
from tests.clients.running import TEXT_TEMPLATE, meanwhile, run_sdk
from tests.vertex.local_vertex import LocalVertex

pytestmark = [pytest.mark.clients, pytest.mark.timeout(1800)]
Report = dict[str, Any]


def _let_a_week_pass(vertex: LocalVertex) -> bool:
    if not vertex.store.of_collection("schedules"):
        return False
    vertex.clock.advance(timedelta(days=7))
    return True


@pytest.fixture(scope="module", params=SDK_VERSIONS)
def report(request: pytest.FixtureRequest, start_vertex: StartVertex) -> Report:
    """What one SDK's user saw."""
    with start_vertex() as vertex, meanwhile(lambda: _let_a_week_pass(vertex)):
        seen: Report = run_sdk(request.param, vertex, "schedules.py", vertex.project, TEXT_TEMPLATE)
    return seen


def test_a_schedule_is_created_as_given(report: Report) -> None:
    assert report["got"] == ["weekly-tuning", "TZ=Europe/Berlin 0 3 * * 1", 3, 2]
    assert report["listed"] == ["weekly-tuning"]


def test_a_schedule_starts_its_runs(report: Report) -> None:
    assert report["runs"] == [report["name"]]


def test_a_schedule_is_paused_and_resumed(report: Report) -> None:
    assert report["states"] == ["ACTIVE", "PAUSED", "ACTIVE"]


def test_a_schedule_is_updated_where_asked(report: Report) -> None:
    assert report["updated"] == ["tuning-every-second-monday", "TZ=Europe/Berlin 0 3 1-7 * 1", 3]


def test_a_schedule_is_deleted(report: Report) -> None:
    assert report["deleted"]
