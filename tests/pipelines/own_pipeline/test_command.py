"""The program of a pipeline of one's own: its inputs are options, and mistakes are told."""

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from kfp import dsl

from kfp_llm_tuning.components import __version__
from kfp_llm_tuning.components.common.images import IMAGE
from kfp_llm_tuning.pipelines.graphs.platform import Platform
from kfp_llm_tuning.pipelines.own_pipeline.command import pipeline_command
from tests.kubeflow.local_kubeflow import local_kubeflow
from tests.vertex.local_vertex import LocalVertex


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def count(text: str, rates: list[float], factor: float, loud: bool) -> str:
    import os
    import sys

    if os.path.exists(text):  # noqa: PTH110
        sys.exit(1)
    return f"{text} {sum(rates) * factor} {loud}"


def counting(platform: Platform) -> dsl.base_component.BaseComponent:
    @dsl.pipeline(name="counting", description="Counts.")
    def pipeline(
        text: str,
        rates: list[float] = [1.0],  # noqa: B006 (kfp compiles it)
        factor: float = 2.0,
        loud: bool = False,
    ) -> str:
        """Counts.

        Args:
            text: What is counted.
            rates: How often.
            factor: How much.
            loud: How loudly.
        """
        task = count(text=f"{text} on {platform.name}", rates=rates, factor=factor, loud=loud)
        return task.output

    return pipeline


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def invoke(*words: str, **values: object) -> Result:
        return CliRunner().invoke(pipeline_command(counting, values), words)

    return invoke


def test_every_input_is_an_option(call) -> None:
    result = call("run", "--help")
    for words in ("--text", "What is counted.", "--rates", "--factor", "--output-dir"):
        assert words in result.output


def test_later_values_take_the_place_of_earlier_ones(call, tmp_path: Path) -> None:
    Path("values.yaml").write_text("factor: 3\nloud: true\n")
    result = call("run", "--params", "values.yaml", "--rates", "[1, 2]", text="two", factor=7.0)
    assert result.exit_code == 0, result.output
    assert "Output: two on local 9.0 True" in result.output
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.startswith("counting-")


def test_every_mistake_is_told(call) -> None:
    result = call("run", "--rates", "many", "--factor", "big", txet="x")
    assert result.exit_code == 1
    message = str(result.exception)
    for words in ("txet: no such input", "Did you mean text?", "Give --text."):
        assert words in message
    assert "rates: 'many' is not a JSON list" in message
    assert "factor: 'big' is not a number" in message


def test_a_text_that_is_no_yaml_is_told_with_the_rest(call) -> None:
    message = str(call("run", "--rates", "[", "--factor", "big", txet="x").exception)
    for words in ("--rates: is not YAML", "factor: 'big'", "txet: no such input", "Give --text."):
        assert words in message


def test_a_failed_run_goes_on_where_it_stopped(call, tmp_path: Path) -> None:
    blocker = tmp_path / "a on local"
    blocker.touch()
    failed = call("run", "--text", str(tmp_path / "a"))
    assert failed.exit_code == 1
    assert "--resume counting-" in failed.output
    blocker.unlink()
    resumed = call("run", "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert "a on local 2.0 False" in resumed.output


@pytest.mark.parametrize("platform", ["vertex", "kubeflow"])
def test_it_compiles(call, platform: str) -> None:
    words = ["compile", "--platform", platform, "--image-registry", "registry.test/x"]
    result = call(*words, "--output", f"{platform}/counting.yaml")
    assert result.exit_code == 0, result.output
    text = Path(platform, "counting.yaml").read_text(encoding="utf-8")
    assert f"# Version: kfp-llm-tuning {__version__}\n" in text
    spec = next(yaml.load_all(text, Loader=yaml.CSafeLoader))
    (executor,) = spec["deploymentSpec"]["executors"].values()
    assert executor["container"]["image"].startswith("registry.test/x/")


def test_options_of_a_cluster_are_for_kubeflow(call) -> None:
    Path("cluster.yaml").write_text("mlflow_tracking_uri: http://mlflow.test\n")
    result = call("compile", "--platform", "vertex", "--options", "cluster.yaml")
    assert "no effect without --platform kubeflow" in str(result.exception)
    assert call("compile", "--platform", "kubeflow", "--options", "cluster.yaml").exit_code == 0


def test_a_pipeline_without_images_is_not_sent(call) -> None:
    result = call("submit", "--platform", "kubeflow", "--host", "http://127.0.0.1:9", text="x")
    assert "the images have no registry" in str(result.exception)


def test_it_is_sent_to_kubeflow(call, tmp_path: Path) -> None:
    with local_kubeflow(tmp_path / "kubeflow") as kubeflow:
        words = ["submit", "--platform", "kubeflow", "--host", kubeflow.url]
        words += ["--image-registry", "registry.test/x", "--experiment", "mine"]
        result = call(*words, "--text", "sent", "--rates", "[1, 2.5]", "--loud", "yes")
        assert result.exit_code == 0, result.output
        (run,) = kubeflow.runs
        assert run["run_id"] in result.output
        assert run["runtime_config"]["parameters"] == {
            "text": "sent",
            "rates": [1, 2.5],
            "loud": True,
        }
        assert "registry.test/x/" in str(run["pipeline_spec"])
        assert run["display_name"].startswith("counting-")


def test_it_is_sent_to_vertex_ai(call, vertex_server: LocalVertex) -> None:
    words = ["submit", "--project", "test-project", "--region", "us-central1"]
    words += ["--pipeline-root", "gs://bucket/runs", "--image-registry", "registry.test/x"]
    result = call(*words, "--text", "sent", "--factor", "1e-4")
    assert result.exit_code == 0, result.output
    (job,) = vertex_server.resources("pipelineJobs")
    assert job["name"] in result.output
    assert job["runtimeConfig"]["parameterValues"] == {"text": "sent", "factor": 0.0001}
    assert job["pipelineSpec"]["pipelineInfo"]["name"] == "counting"


def test_what_a_platform_needs_is_told(call) -> None:
    words = ["submit", "--image-registry", "registry.test/x", "--text", "x"]
    assert "--pipeline-root" in str(call(*words).exception)
    wrong = call(*words, "--platform", "kubeflow", "--service-account", "me@test")
    assert "--service-account" in str(wrong.exception)
