"""``kfp-llm-tuning compile`` with what is compiled in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.pipelines.compiling.compiled_files import PlatformOptions
from kfp_llm_tuning.pipelines.graphs.compile import template_text
from kfp_llm_tuning.pipelines.kubeflow.options_file import DEFAULTS, default_options, read_options
from tests.pipelines.conftest import Call


def documents(path: Path) -> list[Any]:
    return list(yaml.load_all(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader))


def test_the_options_are_printed_to_be_edited(call: Call, tmp_path: Path) -> None:
    printed = call("compile", "--print-options").output
    assert printed == DEFAULTS.read_text(encoding="utf-8")
    (tmp_path / "kubeflow.yaml").write_text(printed, encoding="utf-8")
    assert read_options(tmp_path / "kubeflow.yaml") == default_options()


def test_options_of_a_cluster_are_compiled_in(call: Call, tmp_path: Path) -> None:
    options = tmp_path / "kubeflow.yaml"
    options.write_text("pod_labels: {team: support}\ntasks: {tuner: {machine: h100-8}}\n")
    output = tmp_path / "out"
    result = call(
        *("compile", "--platform", "kubeflow", "--options", str(options)),
        *("--image-registry", "registry.test/team", "--output", str(output)),
    )
    assert result.exit_code == 0, result.output
    assert "without checkpoint_root a retry of the tuner begins anew" in result.output
    assert sorted(path.name for path in (output / "kubeflow").iterdir()) == [
        "tune-large-chat-model.yaml",
        "tune-large-model.yaml",
    ]
    assert not (output / "vertex").exists()
    spec, platform = documents(output / "kubeflow" / "tune-large-model.yaml")
    tuner = spec["deploymentSpec"]["executors"]["exec-large-language-model-tuner"]["container"]
    assert tuner["resources"]["accelerator"]["resourceCount"] == "8"
    assert tuner["image"].startswith("registry.test/team/kfp-llm-tuning-gpu:")
    assert "{team: support}" not in str(spec)
    assert "'team': 'support'" in str(platform)


@pytest.mark.parametrize(
    ("given", "image"), [("a100-80gb-1", "serving-gpu"), ("cpu-16", "python"), ("", None)]
)
def test_the_machine_of_predictions_on_vertex(given: str, image: str | None) -> None:
    platform = PlatformOptions(prediction_machine=given).variants("vertex")[""]
    spec = yaml.load(template_text("tune-large-model", platform), Loader=yaml.CSafeLoader)
    executors = spec["deploymentSpec"]["executors"].values()
    assert not [one for one in executors if one["container"].get("resources")]
    for task in ("batch-predict", "batch-predict-2"):
        inputs = spec["components"]["comp-evaluation-graph"]["dag"]["tasks"][task]["inputs"]
        named = {
            name: inputs["parameters"].get(name, {}).get("runtimeValue", {}).get("constant")
            for name in ("machine", "image")
        }
        assert named["machine"] == (given or None)
        assert (named["image"] or "").rpartition("kfp-llm-tuning-")[2].partition(":")[0] == (
            image or ""
        )


@pytest.mark.parametrize(
    ("given", "problem"),
    [("NVIDIA_L4", "no machine is called"), ("tpu-v5e-4", "no engine of this version predicts")],
)
def test_a_machine_that_cannot_predict_is_refused(
    call: Call, tmp_path: Path, given: str, problem: str
) -> None:
    words = ("--platform", "vertex", "--prediction-machine", given)
    with pytest.raises(UserError, match=problem):
        call("compile", *words, "--output", str(tmp_path))


def test_options_of_what_is_not_compiled_are_refused(call: Call, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--options: has no effect without --platform kubeflow"):
        call("compile", "--platform", "vertex", "--options", str(tmp_path / "k.yaml"))
    with pytest.raises(UserError, match="--prediction-machine: has no effect"):
        call("compile", "--platform", "kubeflow", "--prediction-machine", "l4-1")


def test_every_mistake_in_the_options_is_told(call: Call, tmp_path: Path) -> None:
    options = tmp_path / "k.yaml"
    options.write_text("clams: []\ntasks: {tuner: {retries: many}}\n")
    with pytest.raises(UserError) as caught:
        call("compile", "--platform", "kubeflow", "--options", str(options))
    assert len(caught.value.problems) == 2
    assert all(str(problem).startswith(str(options)) for problem in caught.value.problems)
