"""Tests of the filters and sort orders of list calls."""

from __future__ import annotations

import pytest
from google.cloud import aiplatform_v1

from tests.vertex.errors import ApiError
from tests.vertex.filters import parse_filter, sort_resources

PipelineJob = aiplatform_v1.PipelineJob.pb()

_JOB = PipelineJob(
    name="projects/p/locations/l/pipelineJobs/tune-1",
    display_name="Tune (weekly)",
    state="PIPELINE_STATE_RUNNING",
    labels={"team": "nlp", "base-model": "text-bison-002"},
    preflight_validations=True,
    schedule_name="projects/p/locations/l/schedules/7",
)
_JOB.create_time.FromJsonString("2026-03-04T05:06:07Z")
_JOB.runtime_config.SetInParent()
_JOB.pipeline_spec.update({"pipelineInfo": {"name": "tune"}, "count": 3})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ('display_name="Tune (weekly)"', True),
        ("displayName = 'Tune (weekly)'", True),
        ('display_name="Tune*"', True),
        ('display_name:"*weekly*"', True),
        ('display_name="tune*"', False),
        ('display_name=!"Tune (weekly)"', False),
        ('display_name!="other"', True),
        ("state=PIPELINE_STATE_RUNNING", True),
        ('state="PIPELINE_STATE_FAILED" OR state="PIPELINE_STATE_RUNNING"', True),
        ("NOT state=PIPELINE_STATE_RUNNING", False),
        ("-state=PIPELINE_STATE_RUNNING", False),
        ("labels.team=nlp", True),
        ('labels.base-model="text-bison-002"', True),
        ('labels."base-model":*', True),
        ("labels:team", True),
        ("labels:owner", False),
        ("NOT labels:owner", True),
        ("labels.owner=me", False),
        ('labels.team="nlp" AND labels.owner="me"', False),
        ('labels.team="nlp" labels:team', True),
        # OR binds closer than AND.
        ("labels:owner AND labels:team OR labels:team", False),
        ("(labels:owner AND labels:team) OR labels:team", True),
        ('create_time>"2026-03-04T00:00:00Z"', True),
        ('create_time >= "2026-03-04T05:06:07Z" AND create_time < "2026-03-05"', True),
        ("create_time<2026-03-04T05:06:07Z", False),
        ('start_time>"2026-01-01T00:00:00Z"', False),
        ("preflight_validations=true", True),
        ("schedule_name=projects/p/locations/l/schedules/7", True),
        ("pipeline_spec.pipelineInfo.name.string_value=tune", True),
        ("pipeline_spec.count.number_value>2", True),
        ("pipeline_name=tune", True),
        ('known_to("me")', True),
        ('known_to("you")', False),
        ('schedule_name:"a","projects/p/locations/l/schedules/7"', True),
    ],
)
def test_filters(text: str, expected: bool) -> None:
    matches = parse_filter(
        text,
        PipelineJob,
        virtual={"pipeline_name": lambda job: job.pipeline_spec["pipelineInfo"]["name"]},
        functions={"known_to": lambda argument, _: argument == "me"},
    )

    assert matches(_JOB) is expected


@pytest.mark.parametrize(
    "text",
    [
        "display_name=",
        "=x",
        "(state=x",
        "state=x)",
        "colour=red",
        "create_time>yesterday",
        'unknown("x")',
        "labels.team=nlp AND",
        "runtime_config=x",
    ],
)
def test_refuses_bad_filters(text: str) -> None:
    with pytest.raises(ApiError, match="Invalid filter") as raised:
        parse_filter(text, PipelineJob)(_JOB)

    assert raised.value.http_status == 400


def test_sorts_by_several_fields() -> None:
    jobs = [PipelineJob(display_name=name, network=network) for name, network in ("ax", "by", "ay")]

    by_name = sort_resources(jobs, "display_name, network desc")

    assert [(job.display_name, job.network) for job in by_name] == [
        ("a", "y"),
        ("a", "x"),
        ("b", "y"),
    ]


@pytest.mark.parametrize("order", ["colour", "display_name sideways", "display_name desc desc"])
def test_refuses_bad_orders(order: str) -> None:
    with pytest.raises(ApiError):
        sort_resources([_JOB], order)
