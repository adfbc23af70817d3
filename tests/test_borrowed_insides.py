"""What we borrow from the insides of other libraries: listed, there, and still needed.

The list is the table "Borrowed insides" of CONTRIBUTING.md. A test that fails here after a library
moved is good news or bad: what it is about is mended upstream, or has another name.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.import_graph import ROOT, sources
from tests.test_declared_dependencies import declared

# Private by their spelling alone: the standard library documents them.
DOCUMENTED = {"_exit", "_fields", "_replace", "_asdict", "_make"}


class Borrowed(NamedTuple):
    library: str
    module: Path
    name: str


def _listed() -> Iterator[Borrowed]:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = page.partition("## Borrowed insides")[2].partition("\n## ")[0]
    for row in re.findall(r"^\| ([\w-]+) \| `([^`]+)` \| ([^|]+) \|", section, re.MULTILINE):
        library, module, names = row
        yield from (Borrowed(library, ROOT / module, name) for name in re.findall("`(.+?)`", names))


LISTED = list(_listed())
# Has an environment of its own, whose tests look there (tests/components/tuning/jax_engine).
ELSEWHERE = "google-tunix"


def resolve(name: str) -> tuple[Any, str]:
    """Imports what holds a name: a module or a class; and gives the name in it."""
    holder, _, last = name.rpartition(".")
    try:
        return importlib.import_module(holder), last
    except ImportError:
        module, _, kind = holder.rpartition(".")
        return getattr(importlib.import_module(module), kind), last


HERE = [one for one in LISTED if one.library != ELSEWHERE]


@pytest.mark.parametrize("borrowed", HERE, ids=lambda one: one.name)
def test_it_is_there_used_and_still_private(borrowed: Borrowed) -> None:
    holder, name = resolve(borrowed.name)
    # An attribute of an instance stands in its class's source alone.
    assert hasattr(holder, name) or f"self.{name}" in inspect.getsource(holder)
    assert re.search(rf"\b{name}\b", borrowed.module.read_text(encoding="utf-8"))
    assert not name.startswith("_") or not hasattr(holder, name.lstrip("_"))


def test_libraries_are_bounded_by_what_is_tested() -> None:
    bounded = {
        one.name
        for group in declared().values()
        for one in group
        if any(specifier.operator == "<" for specifier in one.specifier)
    }
    # fsspec's versions are dates, and its underscores are what its own filesystems override.
    assert {one.library for one in LISTED} - bounded == {"fsspec"}


def test_every_private_name_of_others_is_listed() -> None:
    listed = {(one.module, one.name.rpartition(".")[2]) for one in LISTED}
    strays = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources().values()
        for name in _private_names(path)
        if (path, name) not in listed
    }
    assert sorted(strays) == []


def _private_names(path: Path) -> set[str]:
    """Names what a file takes of others that begins with one underscore."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    own = {node.attr for node in attributes if _is_own(node.value)}
    taken = {node.attr for node in attributes if not _is_own(node.value)} - own
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("kfp_llm"):
            taken |= {alias.name for alias in node.names}
    return {name for name in taken - DOCUMENTED if re.match("_[a-z]", name)}


def _is_own(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id in ("self", "cls")


def test_kfp_takes_an_output_for_an_input() -> None:
    from kfp.local import io
    from kfp.local.orchestrator.enhanced_dag_orchestrator import ConditionEvaluator

    store = io.IOStore()
    store.put_task_output("decide", "answer", "yes")
    channel = "pipelinechannel--decide-answer"
    assert ConditionEvaluator._resolve_pipeline_channel(channel, store) is None


def test_kfp_puts_a_loops_item_in_the_place_of_outputs() -> None:
    from kfp.local.orchestrator import task_spec_utils
    from kfp.pipeline_spec import pipeline_spec_pb2

    loop = pipeline_spec_pb2.PipelineTaskSpec()
    loop.inputs.parameters["answer"].task_output_parameter.producer_task = "decide"
    iteration = task_spec_utils.create_parameter_loop_iteration_task_spec(loop, "item", "loop-1")
    assert iteration.inputs.parameters["answer"].runtime_value.constant.string_value == "item"


def test_kfp_gives_a_nested_pipeline_inputs_of_others() -> None:
    from kfp.local import io
    from kfp.local.orchestrator import task_spec_utils
    from kfp.pipeline_spec import pipeline_spec_pb2

    store = io.IOStore()
    store.put_parent_input("seed", 7)
    nested = pipeline_spec_pb2.ComponentSpec()
    nested.input_definitions.parameters["seed"].is_optional = True
    task = pipeline_spec_pb2.PipelineTaskSpec()
    task.inputs.parameters["steps"].runtime_value.constant.number_value = 5
    arguments = task_spec_utils.build_nested_dag_arguments("nested", task, nested, store)
    assert arguments == {"steps": 5, "seed": 7}


def test_kfp_loses_the_artifacts_of_containers(tmp_path: Path) -> None:
    from kfp.local import executor_output_utils
    from kfp.pipeline_spec import pipeline_spec_pb2

    given = pipeline_spec_pb2.ExecutorInput()
    given.outputs.output_file = str(tmp_path / "never-written.json")
    given.outputs.artifacts["model"].artifacts.add().uri = str(tmp_path / "model")
    component = pipeline_spec_pb2.ComponentSpec()
    component.output_definitions.artifacts["model"].artifact_type.schema_title = "system.Model"
    found = executor_output_utils.get_outputs_for_task(given, component)
    assert found == {}


def test_kfp_lets_containers_remove_themselves() -> None:
    from kfp.local import docker_task_handler

    assert "auto_remove=True" in inspect.getsource(docker_task_handler.run_docker_container)


def test_kfp_writes_no_librarys_name_into_logs() -> None:
    from kfp.dsl import executor_main

    assert "%(name)s" not in inspect.getsource(executor_main)


def test_kfps_cache_believes_what_it_finds(tmp_path: Path) -> None:
    from kfp.local.cache import LocalCache

    assert "sha256" not in inspect.getsource(LocalCache.get)


def test_kfps_client_asks_five_times_and_keeps_the_namespace_in_a_file() -> None:
    import kfp

    assert "max_attempts = 5" in inspect.getsource(kfp.Client.get_kfp_healthz)
    assert "open(" in inspect.getsource(kfp.Client.set_user_namespace)


def test_uvicorn_bounds_no_request_in_time() -> None:
    import uvicorn

    names = inspect.signature(uvicorn.Config).parameters
    assert {name for name in names if name.startswith("timeout_")} == {
        "timeout_keep_alive",
        "timeout_notify",
        "timeout_graceful_shutdown",
        "timeout_worker_healthcheck",
    }


def test_transformers_warns_of_tied_weights() -> None:
    from transformers import Trainer

    assert "tied" not in inspect.getsource(Trainer._issue_warnings_after_load)
