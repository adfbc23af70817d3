"""The Node client @google-cloud/aiplatform, over gRPC and over REST."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.clients.conftest import StartVertex
from tests.clients.running import run_node

pytestmark = [pytest.mark.clients, pytest.mark.timeout(1800)]
Report = dict[str, Any]
_TEMPLATE = (
    "https://us-kfp.pkg.dev/ml-pipeline/large-language-model-pipelines/tune-large-model/v2.0.0"
)
_JOBS = "projects/test-project/locations/us-central1/pipelineJobs"


@pytest.fixture(scope="module", params=["grpc", "http"])
def report(request: pytest.FixtureRequest, start_vertex: StartVertex) -> Report:
    """What a Node user saw over one transport."""
    with start_vertex(execute=True) as vertex:
        grpc = urlsplit(f"//{vertex.grpc_address}")
        address = grpc if request.param == "grpc" else urlsplit(vertex.rest_url)
        seen: Report = run_node(
            vertex,
            "tune.js",
            vertex.project,
            address.hostname,
            address.port,
            request.param,
            _TEMPLATE,
        )
        return seen


def test_jobs_run_and_are_cancelled(report: Report) -> None:
    succeeded, cancelled = report["states"]
    assert succeeded == "PIPELINE_STATE_SUCCEEDED"
    assert cancelled == "PIPELINE_STATE_CANCELLED"


def test_errors_have_codes_and_reasons(report: Report) -> None:
    assert report["misspelt"]["code"] in (3, 400)
    assert "accelerator_type:" in report["misspelt"]["message"]
    assert report["missing"]["code"] in (5, 404)


def test_jobs_are_listed(report: Report) -> None:
    assert report["listed"] == [f"{_JOBS}/job-cancelled"]


def test_the_tuned_model_is_found_and_answers(report: Report) -> None:
    assert len(report["models"]) == 1
    assert len(report["endpoints"]) == 1
    [prediction] = report["predictions"]
    assert isinstance(prediction["content"], str)
