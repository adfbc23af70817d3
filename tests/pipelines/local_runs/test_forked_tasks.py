"""Tasks that are forked: processes of their own in all but what was imported before."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from kfp import dsl

from kfp_llm_tuning.components.common.images import IMAGE
from kfp_llm_tuning.pipelines.compiling.component_list import components_of, stages
from kfp_llm_tuning.pipelines.local_runs import forked_tasks, shared_imports
from kfp_llm_tuning.pipelines.local_runs.forked_tasks import (
    ForkedTask,
    ForkServer,
    NotForked,
    is_supported,
    order_of,
)
from kfp_llm_tuning.pipelines.local_runs.process_output import read_lines
from kfp_llm_tuning.pipelines.local_runs.task_server import TaskOrder

pytestmark = pytest.mark.skipif(not is_supported(), reason="processes are forked on Linux")

WORK = """
import atexit, os, signal, sys, time

def work(kind: str):
    atexit.register(print, "goodbye", flush=True)
    print("parent", os.getppid(), "imported", "colorsys" in sys.modules)
    print("told", os.environ.get("OWN"), "lost", "LOST" in os.environ)
    if numpy := sys.modules.get("numpy"):
        print("drawn", numpy.random.random())
    print("said wrong", file=sys.stderr)
    print("blocked", *signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    if kind == "sleep":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
        print("asleep", flush=True)
        time.sleep(60)
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


def start(server: ForkServer, folder: Path, kind: str = "", also: Sequence[str] = ()) -> ForkedTask:
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
    imports = ["colorsys", "numpy", "none", *also]
    return server.start(TaskOrder(arguments, environment, imports), folder)


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
    with pytest.raises(NotForked):
        # The first may be sent before the system has ended it.
        ended(start(server, tmp_path / "two"))


def test_a_server_that_is_asked_to_end_tells_how_its_tasks_do(
    server: ForkServer, tmp_path: Path
) -> None:
    with start(server, tmp_path / "task", "sleep") as task:
        said = ""
        while "asleep" not in said:
            said += task.stdout.readline().decode()
        assert "blocked\n" in said
        os.kill(int(words_after("parent", said)[1]), signal.SIGTERM)
        os.kill(task.pid, signal.SIGTERM)
        assert task.wait() == 75


def test_where_a_library_has_started_a_thread_nothing_is_forked(
    server: ForkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = (
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()"
    )
    (tmp_path / "begins_a_thread.py").write_text(module, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    first = start(server, tmp_path / "first", "exit")
    for name in ("second", "third"):
        with pytest.raises(NotForked):
            start(server, tmp_path / name, also=["begins_a_thread"])
    code, _, _ = ended(first)
    assert code == 75


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
    assert order.imports == shared_imports.shared_imports("plain")
    assert order_of(command_of(installing), {}, tmp_path) is None
    assert order_of(["python3", "-c", "pass"], {}, tmp_path) is None


def test_what_is_shared_are_modules_that_start_no_threads(tmp_path: Path) -> None:
    names = {name.replace("-", "_") for stage in stages() for name, _ in components_of(stage)}
    assert {*shared_imports._BY_COMPONENT, *shared_imports._WITH_TORCH} <= names
    modules = [name for one in names for name in shared_imports.shared_imports(one, tmp_path)]
    code = f"""
import importlib
from kfp_llm_tuning.components.common import forks
for name in {list(dict.fromkeys(modules))}:
    importlib.import_module(name)
    assert forks.threads() == 1, name
"""
    # Where the threads are fewer than processors, whoever runs the tests may have said so.
    ours = {**os.environ, **forked_tasks._NO_THREADS}
    ours.pop("OMP_NUM_THREADS", None)
    subprocess.run([sys.executable, "-c", code], env=ours, check=True)


def test_torch_is_left_to_the_tasks_where_there_is_an_accelerator(tmp_path: Path) -> None:
    assert any(
        "tuning" in name
        for name in shared_imports.shared_imports("large_language_model_tuner", tmp_path)
    )
    (tmp_path / "nvidiactl").touch()
    assert not any(
        "tuning.tune" in name
        for name in shared_imports.shared_imports("large_language_model_tuner", tmp_path)
    )
    assert shared_imports.shared_imports(
        "batch_predict", tmp_path
    ) == shared_imports.shared_imports("something_else", tmp_path)
