"""The compiled pipelines: names, order, conditions, inputs and outputs of the published ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler

from kfp_llm_tuning.components.parameters.pipeline import TEMPLATES
from kfp_llm_tuning.pipelines.graphs.build import build
from kfp_llm_tuning.pipelines.local_runs.platform import local_platform

# The names of the later published revision stand for those of the recorded one.
LATER_NAMES = {
    "convert-jsonl-to-tfrecord": "dataset-encoder",
    "convert-jsonl-to-tfrecord-2": "evaluation-dataset-encoder",
}
NOT_OURS = {"vertex-pipelines-prompt-validation"}


@pytest.fixture(scope="module", params=list(TEMPLATES))
def compiled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("compiled")
    platform = local_platform(folder / "run", "sqlite:///registry.db", {})
    path = folder / "pipeline.yaml"
    compiler.Compiler().compile(build(request.param, platform), str(path))
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)


def inner(compiled: dict[str, Any], task: str) -> dict[str, Any]:
    component = compiled["root"]["dag"]["tasks"][task]["componentRef"]["name"]
    return compiled["components"][component]["dag"]["tasks"]


def test_inputs_are_those_of_the_parameter_table(compiled: dict[str, Any]) -> None:
    parameters = TEMPLATES[compiled["pipelineInfo"]["name"]]
    inputs = compiled["root"]["inputDefinitions"]["parameters"]
    assert set(inputs) == set(parameters)
    for name, parameter in parameters.items():
        assert inputs[name].get("defaultValue") == parameter.default, name
        assert inputs[name].get("isOptional", False) == (not parameter.required), name
        assert inputs[name]["description"] == parameter.help, name


def test_root_outputs(compiled: dict[str, Any]) -> None:
    outputs = compiled["root"]["outputDefinitions"]["parameters"]
    assert set(outputs) == {"model_resource_name", "endpoint_resource_name"}
    for name in outputs:
        source = compiled["root"]["dag"]["outputs"]["parameters"][name]["valueFromParameter"]
        assert source == {"outputParameterKey": name, "producerSubtask": "deployment-graph"}


def test_root_tasks_and_their_order(compiled: dict[str, Any]) -> None:
    tasks = compiled["root"]["dag"]["tasks"]
    assert set(tasks) == {
        "validate-pipeline",
        "tuning-graph",
        "evaluation-graph",
        "deployment-graph",
        "condition-1",
    }
    assert tasks["validate-pipeline"]["cachingOptions"] == {}
    assert "validate-pipeline" in tasks["tuning-graph"]["dependentTasks"]
    assert {"tuning-graph", "evaluation-graph"} <= set(tasks["deployment-graph"]["dependentTasks"])


def test_published_tasks_are_there(compiled: dict[str, Any], shared_data: Path) -> None:
    contract = yaml.load(
        (shared_data.parent / "contract" / "tune-large-model.v2.0.0.yaml").read_text("utf-8"),
        Loader=yaml.CSafeLoader,
    )
    published = contract["root"]["tasks"]
    for graph in ("tuning-graph", "deployment-graph"):
        names = {LATER_NAMES.get(name, name) for name in published[graph]["tasks"]} - NOT_OURS
        assert names <= set(inner(compiled, graph)), graph
    condition = compiled["root"]["dag"]["tasks"]["condition-1"]
    expected = published["condition-1"]
    assert condition["taskInfo"]["name"] == expected["name"]
    assert condition["triggerPolicy"]["condition"] == expected["condition"]
    assert set(inner(compiled, "condition-1")) == {"tensorboard-uploader"}


def test_the_evaluation_set_has_tasks_of_its_own(compiled: dict[str, Any]) -> None:
    tasks = inner(compiled, "tuning-graph")
    assert tasks["preprocess-dataset-2"]["taskInfo"]["name"] == "preprocess-eval-dataset"
    encoder = tasks["evaluation-dataset-encoder"]["inputs"]["artifacts"]["preprocessed"]
    assert encoder["taskOutputArtifact"]["producerTask"] == "preprocess-dataset-2"


def test_nothing_is_prepared_before_the_data_is_checked(compiled: dict[str, Any]) -> None:
    tasks = inner(compiled, "tuning-graph")
    for name in ("preprocess-dataset", "preprocess-dataset-2"):
        assert "validate-dataset" in tasks[name]["dependentTasks"]


def test_every_task_names_the_projects_image(compiled: dict[str, Any]) -> None:
    executors = compiled["deploymentSpec"]["executors"]
    images = {executor["container"]["image"] for executor in executors.values()}
    assert images == {"REGISTRY-NOT-SET/kfp-llm-tuning-python:0.1.0"}
    assert len(executors) == 15
