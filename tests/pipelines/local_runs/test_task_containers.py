"""Tasks in containers, without a container engine: a client stands in for docker's.

``make test-images`` does the same with real containers. kfp reads annotations as they stand: no
`from __future__ import annotations` here.
"""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker
import pytest
from kfp import dsl, local

from kfp_llm_tuning.components.common.images import IMAGE
from kfp_llm_tuning.pipelines.local_runs.local_runner import LocalRunner, TaskResult
from kfp_llm_tuning.pipelines.local_runs.task_containers import TaskContainer


class Container:
    """A container that prints such pieces and ends with such a code."""

    id = "container"

    def __init__(self, pieces: list[bytes], code: int) -> None:
        self._pieces = pieces
        self._code = code
        self.calls: list[str] = []

    def attach(self, *, stream: bool) -> Iterator[bytes]:
        assert stream
        self.calls.append("attach")
        return iter(self._pieces)

    def start(self) -> None:
        # What is printed before somebody listens would be lost.
        assert self.calls.pop() == "attach"

    def wait(self) -> dict[str, int]:
        assert "remove" not in self.calls
        return {"StatusCode": self._code}

    def remove(self, *, force: bool) -> None:
        self.calls.append("remove" if force else "remove if it has ended")

    def exec_run(self, command: tuple[str, ...], user: str) -> None:
        self.calls.append(f"{command[-1]} as {user}")

    def kill(self, signal: str = "SIGKILL") -> None:
        self.calls.append(signal)


class Client:
    """A client whose containers all are this one."""

    def __init__(self, container: Container) -> None:
        self.given: dict[str, Any] = {}
        self._container = container
        self.containers = SimpleNamespace(create=self._create, get=self._get)
        self.images = SimpleNamespace(pull=self._pull)
        self.pulled: list[str] = []

    def _pull(self, image: str) -> None:
        self.pulled.append(image)

    def _create(self, image: str, command: list[str], **arguments: Any) -> Container:
        self.given = {"image": image, "command": command, **arguments}
        self._container.calls.clear()
        return self._container

    def _get(self, name: str) -> Container:
        assert name == self._container.id
        return self._container

    def info(self) -> dict[str, Any]:
        return {}

    def close(self) -> None: ...


class Silent:
    def started(self, task: TaskResult) -> None: ...

    def printed(self, task: TaskResult, line: str) -> None: ...

    def finished(self, task: TaskResult) -> None: ...

    def interrupted(self, again: bool) -> None: ...


def started(container: Container) -> TaskContainer:
    return TaskContainer(Client(container), "image", ["true"], {})


def test_lines_are_put_together_of_what_arrives() -> None:
    text = "one\nzwölf\n\nlast"
    pieces = [bytes([byte]) for byte in text.encode()]
    assert list(started(Container(pieces, 0)).lines()) == ["one\n", "zwölf\n", "\n", "last"]


def test_a_container_is_removed_whatever_happens() -> None:
    container = Container([], 0)
    with pytest.raises(OSError, match="disk"), started(container):
        raise OSError("disk")
    assert container.calls == ["remove"]


def test_all_processes_are_asked_then_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    container = Container([], 0)
    monkeypatch.setattr(docker, "from_env", lambda: Client(container))
    at_work = started(container)
    at_work.terminate()
    at_work.kill()
    assert container.calls == ["kill -TERM -1 as 0", "SIGTERM", "SIGKILL"]


def test_a_container_that_has_ended_need_not_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: Any, **__: Any) -> None:
        raise docker.errors.NotFound("no such container")

    container = Container([], 0)
    at_work = started(container)
    monkeypatch.setattr(docker, "from_env", lambda: Client(container))
    monkeypatch.setattr(container, "exec_run", gone)
    at_work.terminate()
    assert container.calls == []


def test_a_container_that_cannot_start_is_removed() -> None:
    class Broken(Container):
        def start(self) -> None:
            super().start()
            raise docker.errors.APIError("no such program")

    container = Broken([], 0)
    with pytest.raises(docker.errors.APIError, match="no such program"):
        started(container)
    assert container.calls == ["remove"]


def test_an_image_that_is_not_here_is_pulled() -> None:
    class Empty(Client):
        def _create(self, image: str, command: list[str], **arguments: Any) -> Container:
            if image not in self.pulled:
                raise docker.errors.ImageNotFound(image)
            return super()._create(image, command, **arguments)

    client = Empty(Container([b"here\n"], 0))
    assert list(TaskContainer(client, "image", ["true"], {}).lines()) == ["here\n"]
    assert client.pulled == ["image"]


@dsl.container_component
def say(text: str) -> dsl.ContainerSpec:
    return dsl.ContainerSpec(image=IMAGE, command=["echo", text])


@dsl.pipeline(name="saying")
def saying() -> None:
    say(text="hello")


@pytest.mark.parametrize("code", [0, 1, 75])
def test_the_runner_takes_a_containers_end_for_the_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    client = Client(Container([b"hello\nwor", b"ld"], code))
    monkeypatch.setattr(docker, "from_env", lambda: client)
    containers = local.DockerRunner(user="1:0", environment={"TOKEN": "secret"})
    runner = LocalRunner(tmp_path, Silent(), runner=containers)
    assert runner.run(saying, {}) == (code == 0)
    (task,) = runner.tasks
    assert (task.exit_code, task.state) == (code, "failed" if code else "succeeded")
    assert task.log.read_text(encoding="utf-8") == "hello\nworld"
    assert client.given["image"] == IMAGE
    assert client.given["command"] == ["echo", "hello"]
    assert client.given["user"] == "1:0"
    assert str(tmp_path / "tasks") in client.given["volumes"]
    # The environment of this machine is not the container's.
    assert client.given["environment"].keys() == {
        "TOKEN",
        "PYTHONUNBUFFERED",
        "TQDM_DISABLE",
        "KFP_LLM_TUNING_RUN",
    }


@dsl.container_component
def make(model: dsl.Output[dsl.Model], other: dsl.Output[dsl.Artifact]) -> dsl.ContainerSpec:
    return dsl.ContainerSpec(image=IMAGE, command=["touch", model.path, other.path])


@dsl.container_component
def take(model: dsl.Input[dsl.Model]) -> dsl.ContainerSpec:
    return dsl.ContainerSpec(image=IMAGE, command=["cat", model.path])


@dsl.pipeline(name="handing-on")
def handing_on() -> dsl.Model:
    made = make()
    take(model=made.outputs["model"])
    return made.outputs["model"]


def test_artifacts_of_container_components_are_handed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(Container([], 0))
    monkeypatch.setattr(docker, "from_env", lambda: client)
    runner = LocalRunner(tmp_path, Silent(), runner=local.DockerRunner())
    assert runner.run(handing_on, {})
    made, taken = runner.tasks
    assert made.outputs.keys() == {"model", "other"}
    assert client.given["command"] == ["cat", made.outputs["model"]]
    assert runner.outputs == {"Output": made.outputs["model"]}
