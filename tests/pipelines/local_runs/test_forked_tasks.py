"""Tasks that are forked: processes of their own in all but what was imported before."""

import json
import os
import signal
import sys
import textwrap
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from kfp import dsl

from kfp_llm_tuning.components.common.images import IMAGE
from kfp_llm_tuning.pipelines.compiling.component_list import components_of, stages
from kfp_llm_tuning.pipelines.local_runs import shared_imports
from kfp_llm_tuning.pipelines.local_runs.forked_tasks import (
    ForkedTask,
    ForkServer,
    ServerEnded,
    is_supported,
    order_of,
)
from kfp_llm_tuning.pipelines.local_runs.process_output import read_lines
from kfp_llm_tuning.pipelines.local_runs.task_server import TaskOrder
from tests.import_graph import sources

pytestmark = pytest.mark.skipif(not is_supported(), reason="processes are forked on Linux")

WORK = """
import atexit, os, random, sys

def work(kind: str):
    atexit.register(print, "goodbye", flush=True)
    print("parent", os.getppid(), "imported", "colorsys" in sys.modules)
    print("told", os.environ.get("OWN"), "lost", "LOST" in os.environ)
    if numpy := sys.modules.get("numpy"):
        print("drawn", numpy.random.random())
    print("said wrong", file=sys.stderr)
    if kind == "exit":
        sys.exit(75)
    if kind == "raise":
        raise ValueError("broken")
    if kind == "kill":
        sys.stdout.flush()
        os.kill(os.getpid(), 9)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ForkServer]:
    forks = ForkServer({"LOST": "1"}, tmp_path / "server.log")
    yield forks
    forks.close()


def start(server: ForkServer, folder: Path, kind: str = "") -> ForkedTask:
    folder.mkdir()
    program = folder / "work.py"
    program.write_text(textwrap.dedent(WORK), encoding="utf-8")
    given = {
        "inputs": {"parameterValues": {"kind": kind}},
        "outputs": {"outputFile": str(folder / "out.json")},
    }
    arguments = ["--component_module_path", str(program), "--function_to_execute", "work"]
    arguments += ["--executor_input", json.dumps(given)]
    environment = {**os.environ, "OWN": kind, "_KFP_RUNTIME": "true"}
    return server.start(TaskOrder(arguments, environment, ["colorsys", "numpy", "none"]), folder)


def ended(task: ForkedTask) -> tuple[int, str, str]:
    """Gives how a task ended, and what it wrote to standard output and to standard error."""
    with task:
        lines = list(read_lines(task.stdout, task.stderr))
        said = ["".join(line for line, wrong in lines if wrong is of) for of in (False, True)]
        return task.wait(), said[0], said[1]


def words_after(word: str, text: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if line.startswith(f"{word} "))


def test_tasks_share_what_is_imported_and_nothing_else(server: ForkServer, tmp_path: Path) -> None:
    tasks = [start(server, tmp_path / name, name) for name in ("one", "two")]
    assert len({task.pid for task in tasks} | {os.getpid()}) == 3
    parents, drawn = set(), set()
    for task, name in zip(tasks, ("one", "two"), strict=True):
        code, output, errors = ended(task)
        assert code == 0, errors
        assert "said wrong" in errors
        assert words_after("told", output) == ["told", name, "lost", "False"]
        assert output.endswith("goodbye\n")
        parents.add(tuple(words_after("parent", output)[1:]))
        drawn.add(words_after("drawn", output)[1])
    ((parent, *imported),) = parents
    assert int(parent) != os.getpid()
    assert imported == ["imported", "True"]
    assert len(drawn) == 2


@pytest.mark.parametrize(
    ("kind", "code", "last"),
    [
        ("exit", 75, "said wrong"),
        ("raise", 1, "ValueError: broken"),
        ("kill", -signal.SIGKILL, "said wrong"),
    ],
)
def test_a_task_ends_as_a_program_does(
    server: ForkServer, tmp_path: Path, kind: str, code: int, last: str
) -> None:
    found, _, errors = ended(start(server, tmp_path / "task", kind))
    assert found == code
    assert errors.strip().splitlines()[-1] == last


def test_a_server_that_was_killed_is_told_of(server: ForkServer, tmp_path: Path) -> None:
    _, output, _ = ended(start(server, tmp_path / "one"))
    os.kill(int(words_after("parent", output)[1]), signal.SIGKILL)
    with pytest.raises(ServerEnded):
        # The first may be sent before the system has ended it.
        ended(start(server, tmp_path / "two"))


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def plain(value: int) -> int:
    return value


@dsl.component(base_image=IMAGE, install_kfp_package=False, packages_to_install=["x"])
def installing(value: int) -> int:
    return value


def command_of(component: dsl.base_component.BaseComponent) -> list[str]:
    container = component.component_spec.implementation.container
    script = container.command[2].replace("python3", sys.executable)
    return [*container.command[:2], script, *container.command[3:], *container.args]


def test_what_does_more_than_execute_a_component_is_not_forked(tmp_path: Path) -> None:
    order = order_of(command_of(plain), {"A": "b"}, tmp_path)
    assert order is not None
    assert "def plain" in Path(order.arguments[1]).read_text(encoding="utf-8")
    assert order.environment == {"A": "b", "_KFP_RUNTIME": "true"}
    assert list(order.imports) == []
    assert order_of(command_of(installing), {}, tmp_path) is None
    assert order_of(["python3", "-c", "pass"], {}, tmp_path) is None


def test_shared_imports_name_what_there_is() -> None:
    names = {name for stage in stages() for name, _ in components_of(stage)}
    functions = {name.replace("-", "_") for name in names}
    for component, modules in shared_imports._BY_COMPONENT.items():
        assert component in functions
        for module in modules:
            first, *rest = module.split(".")
            if first == "kfp_llm_tuning":
                assert ".".join(rest) in sources(), module
                continue
            spec = find_spec(first)
            assert spec is not None
            (folder, *_) = spec.submodule_search_locations or ()
            path = Path(folder, *rest)
            assert path.is_dir() or path.with_suffix(".py").is_file(), module
