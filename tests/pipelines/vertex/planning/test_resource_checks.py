"""Buckets as Google may answer for them and the local server does not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kfp_llm_tuning.pipelines.vertex.job_settings import JobSettings
from kfp_llm_tuning.pipelines.vertex.planning.resource_checks import check_buckets
from kfp_llm_tuning.pipelines.vertex.planning.vertex_run import VertexRun

EVERYTHING = ["storage.objects.create", "storage.objects.get", "storage.objects.delete"]


def check(bucket: dict[str, Any], permissions: list[str]) -> tuple[str, str]:
    apis: Any = SimpleNamespace(
        account="me",
        find=lambda *_: bucket,
        get=lambda *_: {"permissions": permissions} if permissions else {},
    )
    settings = JobSettings(region="us-central1", pipeline_root="gs://bucket/runs")
    run = VertexRun("tune-large-model", {}, None, settings, None)
    (made,) = check_buckets(apis, run)
    return made.status, made.text


@pytest.mark.parametrize(
    ("bucket", "status"),
    [
        ({"location": "US-CENTRAL1", "locationType": "region"}, "ok"),
        ({"location": "US", "locationType": "multi-region"}, "ok"),
        ({"location": "EUROPE-WEST4", "locationType": "region"}, "warning"),
    ],
)
def test_places(bucket: dict[str, Any], status: str) -> None:
    assert check(bucket, EVERYTHING)[0] == status


@pytest.mark.parametrize("granted", [[], EVERYTHING[:1]])
def test_permissions_that_lack_are_named(granted: list[str]) -> None:
    status, text = check({"location": "US-CENTRAL1", "locationType": "region"}, granted)
    assert status == "problem"
    for permission in set(EVERYTHING) - set(granted):
        assert permission in text
