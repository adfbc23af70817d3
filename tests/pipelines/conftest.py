"""What tests of the commands on Vertex AI and Kubeflow share."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from click.testing import CliRunner, Result

from kfp_llm_tuning.components.common.vertex import Vertex
from kfp_llm_tuning.pipelines.cli import cli
from kfp_llm_tuning.pipelines.compiling.compiled_files import compile_template
from kfp_llm_tuning.pipelines.graphs.compile import template_text
from kfp_llm_tuning.pipelines.kubeflow.options_file import options_from
from kfp_llm_tuning.pipelines.kubeflow.platform import kubeflow_platform
from kfp_llm_tuning.pipelines.local_runs import task_server
from kfp_llm_tuning.pipelines.local_runs.run_processes import RUN_VARIABLE
from kfp_llm_tuning.pipelines.requests.request import Request
from kfp_llm_tuning.pipelines.templates.template import TemplateSource
from kfp_llm_tuning.pipelines.vertex.job_request import pipeline_job_body
from kfp_llm_tuning.pipelines.vertex.job_settings import JobSettings, settle
from tests.components.conftest import (  # noqa: F401
    _vertex_server,
    empty_database,
    no_backoff,
    vertex_server,
)
from tests.kubeflow.local_kubeflow import LocalKubeflow, local_kubeflow
from tests.vertex import images

REGISTRY = images.REGISTRY
EXAMPLE = Path(__file__).parents[2] / "examples" / "support"
Call = Callable[..., Result]
PREDICTING = "kfp_llm_tuning.components.evaluation"
# What the commands read, and the developer may have set.
_VARIABLES = (
    "GOOGLE_CLOUD_REGION", "KFP_LLM_TUNING_IMAGE_REGISTRY", "KFP_LLM_TUNING_PLATFORM",
    "KF_PIPELINES_ENDPOINT", "KFP_ENDPOINT", "KFP_NAMESPACE", "KFP_EXISTING_TOKEN",
    "KF_PIPELINES_TOKEN", "KFP_SSL_CA_CERT", "KF_PIPELINES_DEFAULT_EXPERIMENT_NAME",
)  # fmt: skip


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
    for variable in _VARIABLES:
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


@pytest.fixture(scope="session")
def kubeflow_template_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The text template, compiled for a cluster without accelerators."""
    options = options_from({"mlflow_tracking_uri": "http://127.0.0.1:1"}).without_accelerators()
    path = tmp_path_factory.mktemp("templates") / "tune-large-model.yaml"
    text = template_text("tune-large-model", kubeflow_platform(options), REGISTRY)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def kubeflow_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalKubeflow]:
    """A local Kubeflow Pipelines that holds nothing; there is no kubeconfig."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))
    monkeypatch.setattr("kfp.Client._LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    with local_kubeflow(tmp_path / "kubeflow") as server:
        yield server


@pytest.fixture
def on_kubeflow(kubeflow_server: LocalKubeflow) -> list[str]:
    """Options that lead to that server."""
    return ["--platform", "kubeflow", "--host", kubeflow_server.url]


@pytest.fixture
def run_words(on_kubeflow: list[str], kubeflow_template_file: Path) -> list[str]:
    """Options of a run that it takes."""
    return [
        *on_kubeflow,
        *("--dataset-uri", "s3://bucket/train.jsonl"),
        *("--model-display-name", "router"),
        *("--large-model-reference", "byte-tiny"),
        *("--template-file", str(kubeflow_template_file)),
    ]


def _predicts(process: psutil.Process, folder: Path) -> bool:
    """Tells a prediction of the runs in a folder: a command, or a copy of a forked task."""
    if PREDICTING in process.cmdline():
        return str(folder) in " ".join(process.cmdline())
    generations = [process, *process.parents()][:3]
    copied = all(task_server.__name__ in one.cmdline() for one in generations)
    return copied and process.environ().get(RUN_VARIABLE, "").startswith(str(folder))


@pytest.fixture
def killed_predictions(tmp_path: Path) -> Iterator[None]:
    """Kills every batch prediction of the test's runs, as a system does that is out of memory."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            for process in psutil.process_iter():
                with contextlib.suppress(psutil.Error):
                    if _predicts(process, tmp_path):
                        process.kill()

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    over.set()
    thread.join()
