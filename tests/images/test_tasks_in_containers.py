"""How a task's container ends is how the task ends, and nothing that it printed is lost.

kfp reads annotations as they stand: no `from __future__ import annotations` here.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import pytest
from kfp import dsl, local

from kfp_llm_tuning.pipelines.local_runs.local_runner import LocalRunner, TaskResult
from tests.images.podman import Podman

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]

# Of the pipelines here; the fixture gives this name to the base image.
IMAGE = "localhost/shell:latest"
LINES = 2000


class Recorder:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def started(self, task: TaskResult) -> None: ...

    def printed(self, task: TaskResult, line: str) -> None:
        self.lines.append(line)

    def finished(self, task: TaskResult) -> None: ...

    def interrupted(self, again: bool) -> None: ...


@pytest.fixture
def runner(podman: Podman, docker_host: str, tmp_path: Path) -> Callable[..., LocalRunner]:
    podman.call("tag", podman.base_image(), IMAGE)

    def make(observer: Recorder | None = None, **arguments: Any) -> LocalRunner:
        containers = local.DockerRunner(**arguments)
        return LocalRunner(tmp_path / "run", observer or Recorder(), runner=containers)

    return make


@dsl.container_component
def shell(script: str) -> dsl.ContainerSpec:
    return dsl.ContainerSpec(image=IMAGE, command=["sh", "-ec", script])


@dsl.container_component
def python(script: str) -> dsl.ContainerSpec:
    """As kfp's own components: a shell is process 1, and waits for the program."""
    return dsl.ContainerSpec(image=IMAGE, command=["sh", "-c", 'python3 -uc "$0"; exit $?', script])


@dsl.pipeline(name="shells")
def shells(script: str) -> None:
    begun = shell(script=script)
    shell(script="echo after").after(begun)


@dsl.pipeline(name="pythons")
def pythons(script: str) -> None:
    python(script=script)


@pytest.mark.parametrize(
    ("code", "explained"),
    [
        (1, ""),
        (13, ""),
        (75, ""),
        (137, "Error: the task's process was killed by SIGKILL: memory may have run out.\n"),
    ],
)
def test_a_failing_task_fails_the_pipeline(
    runner: Callable[..., LocalRunner], podman: Podman, code: int, explained: str
) -> None:
    run = runner()
    assert not run.run(shells, {"script": f"echo begun; echo broken >&2; exit {code}"})
    (task,) = run.tasks
    assert (task.state, task.exit_code) == ("failed", code)
    assert task.log.read_text() == f"begun\nbroken\n{explained}"
    assert podman.call("ps", "--all", "--quiet").stdout == ""


def test_what_succeeds_goes_on(runner: Callable[..., LocalRunner]) -> None:
    run = runner()
    assert run.run(shells, {"script": "true"})
    assert [(task.name, task.exit_code) for task in run.tasks] == [("shell", 0), ("shell-2", 0)]
    assert run.tasks[1].log.read_text() == "after\n"


def test_the_next_try_does_only_the_rest(
    runner: Callable[..., LocalRunner], tmp_path: Path
) -> None:
    folder = tmp_path / "run" / "tasks"
    script = f"test -e {folder}/done"

    @dsl.pipeline(name="twice")
    def twice() -> None:
        begun = shell(script="true")
        shell(script=script).after(begun)

    assert not runner().run(twice, {})
    (folder / "done").touch()
    second = runner()
    assert second.run(twice, {})
    assert [task.state for task in second.tasks] == ["cached", "succeeded"]


def test_no_line_is_lost_of_a_container_that_ends_at_once(
    runner: Callable[..., LocalRunner],
) -> None:
    recorder = Recorder()
    run = runner(recorder)
    assert not run.run(shells, {"script": f"seq {LINES}; printf 'äö without an end'; exit 1"})
    expected = [*map(str, range(1, LINES + 1)), "äö without an end"]
    assert recorder.lines == expected
    assert run.tasks[0].log.read_text() == "\n".join(expected)


def test_variables_of_the_runner_reach_the_task(runner: Callable[..., LocalRunner]) -> None:
    run = runner(environment={"TOKEN": "secret"})
    assert run.run(shells, {"script": "echo $TOKEN $PYTHONUNBUFFERED"})
    assert run.tasks[0].log.read_text() == "secret 1\n"


def test_an_image_that_nobody_has_is_a_failure(
    runner: Callable[..., LocalRunner], docker_host: str
) -> None:
    @dsl.container_component
    def nowhere() -> dsl.ContainerSpec:
        return dsl.ContainerSpec(image="localhost/nowhere:1", command=["true"])

    @dsl.pipeline(name="without")
    def without() -> None:
        nowhere()

    with pytest.raises(docker.errors.APIError, match="nowhere"):
        runner().run(without, {})


SAVER = """
import signal, sys, time
def stop(*_):
    print("saved", flush=True)
    sys.exit(75)
signal.signal(signal.SIGTERM, stop)
print("asleep", flush=True)
time.sleep(600)
"""


class Interrupter(Recorder):
    """Sends this process a signal when the task prints such a line."""

    def __init__(self, number: signal.Signals, *lines: str) -> None:
        super().__init__()
        self._number = number
        self._awaited = lines

    def printed(self, task: TaskResult, line: str) -> None:
        super().printed(task, line)
        if line in self._awaited:
            os.kill(os.getpid(), self._number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_program_in_the_container(
    runner: Callable[..., LocalRunner], number: signal.Signals
) -> None:
    recorder = Interrupter(number, "asleep")
    run = runner(recorder)
    assert not run.run(pythons, {"script": SAVER})
    assert run.interrupted
    assert recorder.lines == ["asleep", "saved"]
    assert [(task.state, task.exit_code) for task in run.tasks] == [("interrupted", 75)]


def test_a_second_signal_ends_a_program_that_does_not_listen(
    runner: Callable[..., LocalRunner],
) -> None:
    deaf = SAVER.replace("sys.exit(75)", "")
    recorder = Interrupter(signal.SIGTERM, "asleep", "saved")
    run = runner(recorder)
    assert not run.run(pythons, {"script": deaf})
    assert [(task.state, task.exit_code) for task in run.tasks] == [("interrupted", 137)]
