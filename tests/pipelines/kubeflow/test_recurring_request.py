"""The request of a recurring run."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.pipelines.jobs.schedules import Timing
from kfp_llm_tuning.pipelines.kubeflow.recurring_request import recurring_run_body, seconds_first
from tests.kubeflow.cron import next_time
from tests.vertex.services import cron as vertex_cron


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 9 * * 1", "0 0 9 * * 1"),
        ("TZ=UTC */15 0-6,20-23/2 1,15 jan-mar mon-fri", "0 */15 0-6,20-23/2 1,15 jan-mar mon-fri"),
        ("0 9 * * 7", "0 0 9 * * 0"),
        ("0 9 * * 5-7", "0 0 9 * * 0,5,6"),
        ("0 9 * * 1,7", "0 0 9 * * 0,1"),
        ("0 9 * * 1-7/3", "0 0 9 * * 0,1,4"),
        ("0 9 * * 0", "0 0 9 * * 0"),
    ],
)
def test_the_scheduler_s_words(cron: str, expected: str) -> None:
    assert seconds_first(cron, "") == expected
    at = begin = datetime(2026, 1, 1, tzinfo=UTC)
    # The same times as Vertex AI's, for a month.
    while at < begin + timedelta(days=31):
        later = next_time(expected, at)
        assert later == vertex_cron.next_time(cron, at)
        at = later


@pytest.mark.parametrize("zone", ["UTC", "Etc/UTC", ""])
def test_zones_that_are_taken(zone: str) -> None:
    assert seconds_first("0 9 * * 1", zone) == "0 0 9 * * 1"


@pytest.mark.parametrize(
    ("cron", "zone", "text"),
    [
        ("0 9 * * 1", "Europe/Berlin", "one time zone for all"),
        ("TZ=Asia/Tokyo 0 9 * * 1", "", "one time zone for all"),
        ("0 9 * *", "", "has 4 fields"),
        ("0 9 * * 8", "", "no day of the week"),
        ("0 9 * * mon,7", "", "mixes 7 with names"),
    ],
)
def test_what_is_refused(cron: str, zone: str, text: str) -> None:
    with pytest.raises(UserError, match=text):
        seconds_first(cron, zone)


def body(timing: Timing | None = None, name: str = "weekly", **run: Any) -> dict[str, Any]:
    return recurring_run_body(name, timing or Timing("0 9 * * 1"), {"team": "a"}, run)


def key(made: dict[str, Any]) -> str:
    return str(json.loads(made["description"])["kfp-llm-tuning"])


def test_every_field() -> None:
    timing = Timing("0 9 * * 1", "", "2030-01-01T09:00", "2031-01-01", 0, 2, True)
    made = body(timing, service_account="tuner")
    assert json.loads(made.pop("description"))["labels"] == {"team": "a"}
    assert made == {
        "display_name": "weekly",
        "mode": "ENABLE",
        "max_concurrency": "2",
        "no_catchup": False,
        "trigger": {
            "cron_schedule": {
                "cron": "0 0 9 * * 1",
                "start_time": "2030-01-01T09:00:00Z",
                "end_time": "2031-01-01T00:00:00Z",
            }
        },
        "service_account": "tuner",
    }


def test_the_key_is_that_of_the_request() -> None:
    assert key(body()) == key(body())
    others = [body(name="other"), body(Timing("0 8 * * 1")), body(service_account="y")]
    assert len({key(made) for made in [body(), *others]}) == 4


def test_every_mistake_is_told() -> None:
    timing = Timing("x", "Nowhere", start="soon", max_concurrent=0)
    with pytest.raises(UserError) as caught:
        body(timing, name=" ")
    assert len(caught.value.problems) == 5
