"""The checked-in templates against the facts of the published ones, item by item."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kfp_llm_tuning.components.parameters.pipeline import TEMPLATES

ROOT = Path(__file__).parents[2]
COPIES = ROOT / "tests" / "contract"
SHARED = ROOT.parent / "shared" / "contract"
CONTRACTS = ["tune-large-model.v2.0.0.yaml", "tune-large-chat-model.v3.0.0.yaml"]

# The names of the later published revision stand for those of the recorded one. Only the name is
# known of that revision: inputs and outputs of these tasks are compared where they are not listed.
LATER_NAMES = {
    "convert-jsonl-to-tfrecord": "dataset-encoder",
    "convert-jsonl-to-tfrecord-2": "evaluation-dataset-encoder",
}
# Screened prompts against a policy of a service that is closed; validate-dataset takes its place.
REPLACED_TASKS = {"vertex-pipelines-prompt-validation": "validate-dataset"}
# Published files of records and packed numbers are artifacts here, so that KFP tracks them.
OTHER_INPUTS = {
    "dataset-encoder": {"dataset_uri", "max_examples", "min_examples"},
    "evaluation-dataset-encoder": {"dataset_uri", "max_examples", "min_examples"},
    "preprocess-dataset": {"model"},
    "preprocess-dataset-2": {"model"},
    # Lengths and the adapter's size follow from the model reference.
    "compose-params-for-model-tuner": {
        "adapter_length",
        "display_name",
        "evaluation_data_uri",
        "max_eval_inputs_length",
        "max_eval_outputs_length",
        "max_train_inputs_length",
        "max_train_outputs_length",
        "model",
        "train_data_uri",
    },
    "upload-llm-model": {"artifact_uri"},
}
OTHER_OUTPUTS = {
    "dataset-encoder": {"output_dir", "output_file"},
    "evaluation-dataset-encoder": {"output_dir", "output_file"},
    "preprocess-dataset": {"output_dir", "output_file"},
    "preprocess-dataset-2": {"output_dir", "output_file"},
}


def load(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return document


@pytest.fixture(params=CONTRACTS)
def contract(request: pytest.FixtureRequest) -> dict[str, Any]:
    folder = SHARED if SHARED.is_dir() else COPIES
    return load(folder / request.param)


@pytest.fixture
def template(contract: dict[str, Any]) -> dict[str, Any]:
    return load(ROOT / "compiled" / "vertex" / f"{contract['template']}.yaml")


def test_the_copied_facts_are_current() -> None:
    assert sorted(path.name for path in COPIES.glob("*.yaml")) == sorted(CONTRACTS)
    if not SHARED.is_dir():
        pytest.skip("the shared facts are not here")
    for name in CONTRACTS:
        assert load(COPIES / name) == load(SHARED / name), name


def test_inputs(contract: dict[str, Any], template: dict[str, Any]) -> None:
    ours = template["root"]["inputDefinitions"]["parameters"]
    assert contract["root"]["inputs"]
    for name, published in contract["root"]["inputs"].items():
        assert ours[name]["parameterType"] == published["type"], name
        assert ours[name].get("defaultValue") == published.get("default"), name
        assert ours[name].get("isOptional", False) == (not published.get("required", False)), name


def test_inputs_of_our_own_are_optional(contract: dict[str, Any], template: dict[str, Any]) -> None:
    ours = template["root"]["inputDefinitions"]["parameters"]
    own = ours.keys() - contract["root"]["inputs"].keys()
    assert all(ours[name]["isOptional"] for name in own)
    table = TEMPLATES[contract["template"]]
    assert own - {"max_context_length"} == {n for n, entry in table.items() if not entry.published}
    if "absent" not in contract["root"]:
        assert "max_context_length" in own


def test_outputs(contract: dict[str, Any], template: dict[str, Any]) -> None:
    ours = template["root"]["outputDefinitions"]
    published = contract["root"]["outputs"]["parameters"]
    types = {name: output["parameterType"] for name, output in ours["parameters"].items()}
    assert types == published
    assert "artifacts" not in ours
    for name, output in template["root"]["dag"]["outputs"]["parameters"].items():
        assert output["valueFromParameter"]["producerSubtask"] == "deployment-graph", name


def test_the_template_keeps_its_name(contract: dict[str, Any], template: dict[str, Any]) -> None:
    assert template["pipelineInfo"]["name"] == contract["template"]


def published_tasks() -> list[tuple[str, ...]]:
    """Paths of all tasks of the text template: the recorded one with a full dump."""
    tasks = load(COPIES / CONTRACTS[0])["root"]["tasks"]
    paths = [(name,) for name in tasks]
    return paths + [(name, inner) for name in tasks for inner in tasks[name].get("tasks", {})]


def ours_of(template: dict[str, Any], path: tuple[str, ...]) -> tuple[dict[str, Any], Any]:
    """Finds the task of ours that stands for a published one, and its component."""
    component = template["root"]
    task: dict[str, Any] = {}
    for name in path:
        key = REPLACED_TASKS.get(name) or LATER_NAMES.get(name, name)
        task = component["dag"]["tasks"][key]
        component = template["components"][task["componentRef"]["name"]]
    return task, component


@pytest.mark.parametrize("path", published_tasks(), ids="/".join)
def test_task(path: tuple[str, ...]) -> None:
    template = load(ROOT / "compiled" / "vertex" / "tune-large-model.yaml")
    published = load(COPIES / CONTRACTS[0])["root"]
    for name in path:
        published = published["tasks"][name]
    task, component = ours_of(template, path)
    if path[-1] in REPLACED_TASKS:
        return
    name = LATER_NAMES.get(path[-1], path[-1])
    if path[-1] not in LATER_NAMES:
        assert task["taskInfo"]["name"] == published["name"]
    after = {LATER_NAMES.get(other, other) for other in published["after"]}
    for other in after - REPLACED_TASKS.keys():
        assert runs_after(template, path, name, other), other
    if "condition" in published:
        assert task["triggerPolicy"]["condition"] == published["condition"]
    if published.get("caching") is False:
        assert task["cachingOptions"] == {}
    inputs = component.get("inputDefinitions", {})
    given = inputs.get("parameters", {}).keys() | inputs.get("artifacts", {}).keys()
    assert set(published.get("inputs", [])) - OTHER_INPUTS.get(name, set()) <= given
    compare_outputs(name, published["outputs"], component.get("outputDefinitions", {}))


def compare_outputs(name: str, published: dict[str, Any], ours: dict[str, Any]) -> None:
    for key, kind in published["parameters"].items():
        if key not in OTHER_OUTPUTS.get(name, set()):
            assert ours["parameters"][key]["parameterType"] == kind, key
    for key, schema in published["artifacts"].items():
        assert ours["artifacts"][key]["artifactType"]["schemaTitle"] == schema, key


def runs_after(template: dict[str, Any], path: tuple[str, ...], task: str, other: str) -> bool:
    """Whether a task waits for another of its graph, through others between them or not."""
    component = template["root"]
    for name in path[:-1]:
        key = component["dag"]["tasks"][name]["componentRef"]["name"]
        component = template["components"][key]
    tasks, seen, waiting = component["dag"]["tasks"], set(), [task]
    while waiting:
        waits_for = tasks[waiting.pop()].get("dependentTasks", [])
        waiting += [name for name in waits_for if name not in seen]
        seen |= set(waits_for)
    return other in seen


def test_the_differences_that_are_told_are_still_there() -> None:
    """A line of the tables above that no published task needs any more is a mistake."""
    names = {LATER_NAMES.get(path[-1], path[-1]) for path in published_tasks()}
    assert names >= OTHER_INPUTS.keys() | OTHER_OUTPUTS.keys()
    assert {path[-1] for path in published_tasks()} >= LATER_NAMES.keys() | REPLACED_TASKS.keys()
