"""No root input is forgotten: validate-pipeline checks it, and a task does something with it."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from kfp_llm_tuning.components.validation import validate_pipeline
from kfp_llm_tuning.pipelines.compiling.component_list import components_of, source_function, stages

COMPILED = Path(__file__).parents[2] / "compiled"
TEMPLATES = sorted(
    path for folder in ("kubeflow", "vertex") for path in (COMPILED / folder).iterdir()
)
CHECKED_BY = "validate-pipeline"
# Read by no other task than validate-pipeline: the output of it that says what comes of each.
SETTLED = {
    "accelerator_type": "machine_spec",
    "api_endpoint": "regional_endpoint",
    "location": "model_location",
    "model_display_name": "model_display_name",
    "registry_uri": "registry_uri",
    "tuning_machine": "machine_spec",
}
# Not read by validate-pipeline.
UNCHECKED = {"strict_validation": "true or false, which says how validate-dataset goes on"}
# Read by no component that takes it.
UNUSED = {"data_version": "part of the key of KFP's cache: other data is another task"}


@cache
def readers(path: Path) -> dict[str, frozenset[str]]:
    """Names the tasks that read each root input, in whatever graph they are."""
    (specification, *_) = yaml.load_all(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
    inputs = specification["root"]["inputDefinitions"]["parameters"]
    return {
        name: frozenset(_readers(specification, specification["root"], name)) for name in inputs
    }


def _readers(specification: dict[str, Any], graph: dict[str, Any], name: str) -> Iterator[str]:
    for task_name, task in graph["dag"]["tasks"].items():
        component = specification["components"][task["componentRef"]["name"]]
        for own_name, source in task.get("inputs", {}).get("parameters", {}).items():
            if source.get("componentInputParameter") != name:
                continue
            if "dag" in component:
                yield from _readers(specification, component, own_name)
            else:
                yield task_name


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_root_input_is_checked_and_read(path: Path) -> None:
    read_by = readers(path)
    assert [name for name, tasks in read_by.items() if not tasks] == []
    unchecked = {name for name, tasks in read_by.items() if CHECKED_BY not in tasks}
    assert unchecked == set(UNCHECKED)
    settled = {name for name, tasks in read_by.items() if tasks == {CHECKED_BY}}
    assert settled == set(SETTLED)


def test_what_is_settled_leaves_validate_pipeline() -> None:
    assert set(SETTLED.values()) <= set(validate_pipeline.component_spec.outputs)


def test_components_use_their_inputs() -> None:
    unused = {
        name
        for stage in stages()
        for _, component in components_of(stage)
        for name in _unused(source_function(component))
    }
    assert unused == set(UNUSED)


def _unused(function: Callable[..., Any]) -> set[str]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    # validate-pipeline hands on all that it was given.
    return set() if "locals" in used else set(inspect.signature(function).parameters) - used
