"""PipelineJob of google-cloud-aiplatform, on the compiled templates."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.conftest import StartVertex
from tests.clients.environments import SDK_VERSIONS
from tests.clients.running import CHAT_TEMPLATE, TEXT_TEMPLATE, meanwhile, run_sdk
from tests.vertex.local_vertex import LocalVertex

pytestmark = [pytest.mark.clients, pytest.mark.timeout(1800)]
Report = dict[str, Any]
_JOBS = "projects/test-project/locations/us-central1/pipelineJobs"


def _finish(vertex: LocalVertex, states: dict[str, str]) -> bool:
    """Gives jobs that are there their last states; says whether all have them."""
    for name in set(states) & set(vertex.store):
        vertex.finish(name, states.pop(name))
    return not states


@pytest.fixture(
    scope="module",
    params=[(v, t) for v in SDK_VERSIONS for t in (TEXT_TEMPLATE, CHAT_TEMPLATE)],
    ids=lambda param: f"{param[0]}-{param[1].stem}",
)
def report(request: pytest.FixtureRequest, start_vertex: StartVertex) -> Report:
    """What one SDK's user saw with one of the templates."""
    version, template = request.param
    states = {f"{_JOBS}/job-succeeding": "SUCCEEDED", f"{_JOBS}/job-failing": "FAILED"}
    with start_vertex() as vertex, meanwhile(lambda: _finish(vertex, states)):
        seen: Report = run_sdk(version, vertex, "pipeline_jobs.py", vertex.project, template)
    return seen | {"template": template}


def test_jobs_are_submitted_with_all_that_was_given(report: Report) -> None:
    assert report["resource_name"].endswith("/locations/us-central1/pipelineJobs/job-succeeding")
    display_name, labels, account = report["got"]
    assert display_name == "succeeding"
    assert labels["team"] == "support"
    assert account == "tuner@test-project.iam.gserviceaccount.com"
    assert report["parameters"] == {
        "project": "test-project",
        "model_display_name": "succeeding",
        "dataset_uri": "gs://staging/train.jsonl",
        "large_model_reference": "byte-tiny",
        "train_steps": 20,
        "learning_rate_multiplier": 0.5,
    }


def test_waiting_ends_with_the_job(report: Report) -> None:
    succeeded, failed, cancelled = report["states"]
    assert succeeded == "PIPELINE_STATE_SUCCEEDED"
    assert failed == "PIPELINE_STATE_FAILED"
    assert cancelled == "PIPELINE_STATE_CANCELLED"
    assert report["failure"].startswith("RuntimeError: Job failed")


def test_jobs_are_listed_by_filters_and_order(report: Report) -> None:
    everyone = ["succeeding", "failing", "cancelled"]
    assert report["all"] == everyone
    assert report["all_newest_first"] == everyone[::-1]
    assert report["by_display_name"] == ["failing"]
    assert report["by_state"] == ["cancelled"]
    assert report["by_label"] == everyone
    assert report["by_pipeline_name"] == everyone


def test_a_misspelt_parameter_is_named(report: Report) -> None:
    assert "parameter accelerator is not found" in report["unknown_parameter"]


def test_a_value_of_the_wrong_type_is_refused(report: Report) -> None:
    assert report["wrong_type"].startswith("InvalidArgument")
    assert "train_steps" in report["wrong_type"]


def test_a_deleted_job_is_gone(report: Report) -> None:
    assert report["after_delete"] == ["succeeding", "cancelled"]
