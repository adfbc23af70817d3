"""What tests of the commands on Vertex AI share."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from kfp_llm_tuning.components.common.vertex import Vertex
from kfp_llm_tuning.pipelines.cli import cli
from kfp_llm_tuning.pipelines.compile import compile_template
from kfp_llm_tuning.pipelines.requests import Request
from kfp_llm_tuning.pipelines.template import TemplateSource
from kfp_llm_tuning.pipelines.vertex.job_request import pipeline_job_body
from kfp_llm_tuning.pipelines.vertex.job_settings import JobSettings, settle
from tests.components.conftest import _vertex_server, no_backoff, vertex_server  # noqa: F401

REGISTRY = "us-docker.pkg.dev/test-project/images"
EXAMPLE = Path(__file__).parents[2] / "examples" / "support"
Call = Callable[..., Result]


@pytest.fixture(scope="session")
def template_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The text template, compiled for Vertex AI with a registry."""
    spec = compile_template("tune-large-model", "vertex", REGISTRY)
    path = tmp_path_factory.mktemp("templates") / "tune-large-model.yaml"
    path.write_text(yaml.safe_dump(spec), encoding="utf-8")
    return path


@pytest.fixture
def place() -> Vertex:
    """The region that the tests' jobs run in."""
    return Vertex("test-project", "us-central1", "https://us-central1-aiplatform.googleapis.com")


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Call:
    """Calls the command; a mistake is raised as it is."""
    monkeypatch.setenv("COLUMNS", "160")
    for variable in ("GOOGLE_CLOUD_REGION", "KFP_LLM_TUNING_IMAGE_REGISTRY"):
        monkeypatch.delenv(variable, raising=False)

    def invoke(*words: str, answer: str = "") -> Result:
        result = CliRunner().invoke(cli, words, input=answer)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture
def job_words(template_file: Path) -> list[str]:
    """Options of a job that Vertex AI takes."""
    return [
        *("--dataset-uri", "gs://bucket/train.jsonl"),
        *("--model-display-name", "router"),
        *("--large-model-reference", "byte-tiny"),
        *("--project", "test-project", "--region", "us-central1"),
        *("--pipeline-root", "gs://bucket/runs"),
        *("--template-file", str(template_file)),
    ]


@pytest.fixture(scope="session")
def _job_body(template_file: Path) -> dict[str, Any]:
    values = {
        "dataset_uri": "gs://bucket/train.jsonl",
        "model_display_name": "router",
        "large_model_reference": "byte-tiny",
        "project": "test-project",
        "location": "us-central1",
    }
    given = JobSettings(pipeline_root="gs://bucket/runs")
    request, settings = settle(Request("tune-large-model", values), given)
    return pipeline_job_body(request, settings, TemplateSource(file=template_file))


@pytest.fixture
def job_body(_job_body: dict[str, Any]) -> dict[str, Any]:
    """The REST body of that job."""
    return copy.deepcopy(_job_body)
