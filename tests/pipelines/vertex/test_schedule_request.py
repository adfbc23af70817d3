"""The request of a schedule."""

from __future__ import annotations

import re
from typing import Any

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.pipelines.jobs.schedules import Timing
from kfp_llm_tuning.pipelines.vertex.schedule_request import TOKEN_LABEL, schedule_body

PARENT = "projects/test-project/locations/us-central1"


def body(timing: Timing | None = None, name: str = "weekly", **job: Any) -> dict[str, Any]:
    return schedule_body(name, timing or Timing("0 9 * * 1"), PARENT, {"displayName": "x", **job})


def token(made: dict[str, Any]) -> str:
    return str(made["createPipelineJobRequest"]["pipelineJob"]["labels"][TOKEN_LABEL])


def test_every_field() -> None:
    timing = Timing(
        cron="0 9 * * 1",
        time_zone="Europe/Berlin",
        start="2030-01-01T09:00",
        end="2031-01-01T00:00:00+00:00",
        max_runs=3,
        max_concurrent=2,
        allow_queueing=True,
    )
    made = body(timing)
    job = made.pop("createPipelineJobRequest")
    assert made == {
        "displayName": "weekly",
        "cron": "TZ=Europe/Berlin 0 9 * * 1",
        "startTime": "2030-01-01T08:00:00Z",
        "endTime": "2031-01-01T00:00:00Z",
        "maxRunCount": "3",
        "maxConcurrentRunCount": "2",
        "allowQueueing": True,
    }
    assert job["parent"] == PARENT


def test_the_token_is_that_of_the_request() -> None:
    assert token(body()) == token(body())
    assert re.fullmatch(r"[0-9a-f]{32}", token(body()))
    others = [body(name="other"), body(Timing("0 8 * * 1")), body(displayName="y")]
    assert len({token(made) for made in [body(), *others]}) == 4


def test_labels_of_the_job_stay() -> None:
    job = body(labels={"team": "a"})["createPipelineJobRequest"]["pipelineJob"]
    assert job["labels"]["team"] == "a"


def test_every_mistake_is_told() -> None:
    timing = Timing("x", "Nowhere", start="soon", max_runs=-1, max_concurrent=0)
    with pytest.raises(UserError) as caught:
        body(timing, name=" ")
    assert len(caught.value.problems) == 5


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ("soon", "", "'soon' is no time"),
        ("2030-01-02", "2030-01-01", "it ends before it starts"),
        ("", "2020-01-01", "it ends before it starts"),
    ],
)
def test_bad_times(start: str, end: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        body(Timing("0 9 * * 1", start=start, end=end))
