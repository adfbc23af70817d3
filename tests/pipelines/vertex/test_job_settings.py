"""What a job has beside template and parameters."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from kfp_llm_tuning.pipelines.requests.request import Request
from kfp_llm_tuning.pipelines.vertex.job_settings import (
    JobSettings,
    new_job_id,
    settings_problems,
    settle,
)

KEY = "projects/p/locations/us-central1/keyRings/r/cryptoKeys/k"
ATTACHMENT = "projects/p/regions/us-central1/networkAttachments/a"


def settled(values: dict[str, Any] | None = None, **cloud: Any) -> tuple[Request, JobSettings]:
    return settle(Request("tune-large-model", values or {}, cloud=cloud), JobSettings())


def test_the_request_fills_in_the_settings() -> None:
    request = Request(
        "tune-large-model",
        {"project": "p1", "location": "us-central1", "model_display_name": "m"},
        labels={"team": "a"},
        pipeline_root="gs://bucket/x",
        cloud={"serviceAccount": "sa", "network": "n", "reservedIpRanges": ["r"]},
    )
    _, settings = settle(request, JobSettings())
    assert (settings.project, settings.region) == ("p1", "us-central1")
    assert (settings.service_account, settings.network) == ("sa", "n")
    assert settings.reserved_ip_ranges == ("r",)
    assert (settings.pipeline_root, settings.display_name) == ("gs://bucket/x", "m")
    assert settings.labels == {"team": "a"}


def test_options_take_precedence() -> None:
    request = Request("tune-large-model", {"location": "a"}, pipeline_root="x", display_name="x")
    given = JobSettings(region="b", pipeline_root="y", display_name="y", job_id="z")
    _, settings = settle(request, given)
    assert (settings.region, settings.pipeline_root) == ("b", "y")
    assert (settings.display_name, settings.job_id) == ("y", "z")


def test_the_key_is_said_once_and_stands_twice() -> None:
    request, settings = settled(encryptionSpec={"kmsKeyName": KEY})
    assert request.values["encryption_spec_key_name"] == settings.encryption_key == KEY
    request, settings = settled({"encryption_spec_key_name": KEY})
    assert settings.encryption_key == KEY


def test_the_network_attachment_is_said_once_and_stands_twice() -> None:
    request, settings = settled(pscInterfaceConfig={"networkAttachment": ATTACHMENT})
    assert request.values["network_attachment"] == ATTACHMENT
    _, settings = settled({"network_attachment": ATTACHMENT})
    assert settings.psc_interface == {"networkAttachment": ATTACHMENT}


def test_job_ids_of_one_second_differ() -> None:
    ids = {new_job_id("tune-large-model") for _ in range(20)}
    assert len(ids) == 20


GOOD = JobSettings(pipeline_root="gs://bucket/x", job_id="job-1", display_name="x")


def test_good_settings() -> None:
    labels = {"team": "a_b-1", "größe": "klein", "empty": ""}
    assert settings_problems(dataclasses.replace(GOOD, labels=labels), {}) == []


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"pipeline_root": ""}, "--pipeline-root"),
        ({"pipeline_root": "bucket/x"}, "--pipeline-root"),
        ({"pipeline_root": "gs://B"}, "--pipeline-root"),
        ({"job_id": "Job"}, "--job-id"),
        ({"job_id": "x" * 129}, "--job-id"),
        ({"display_name": "x" * 129}, "--job-name"),
        ({"display_name": "a\nb"}, "--job-name"),
        ({"network": "n", "psc_interface": {"networkAttachment": "a"}}, "--network"),
        ({"encryption_key": KEY}, "encryptionSpec"),
        ({"persistent_resource": "a/b"}, "--persistent-resource"),
        ({"labels": {"Team": "a"}}, "--label"),
        ({"labels": {"1": "a"}}, "--label"),
        ({"labels": {"team": "a b"}}, "--label"),
        ({"labels": {"team": "x" * 64}}, "--label"),
        ({"labels": {f"l{number}": "" for number in range(65)}}, "--label"),
    ],
)
def test_bad_settings(change: dict[str, Any], where: str) -> None:
    (problem,) = settings_problems(dataclasses.replace(GOOD, **change), {})
    assert problem.where.startswith(where)


def test_every_problem_is_told() -> None:
    assert len(settings_problems(JobSettings(job_id="X", labels={"A": "", "B": ""}), {})) == 4
