"""The Argo workflow of a run: what the API shows of its tasks is read out of its nodes.

As Argo has it: every task of a pipeline is two nodes, its driver and itself; a task that runs a
container has an executor inside. All have names for people, and nothing but their ids ties them.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.kubeflow.messages import without_empty, write_time
from tests.kubeflow.specs import Package
from tests.vertex.runner_protocol import Event, TaskPath

_EXIT_CODE = re.compile(r"(?:code|status)(?: of)? (\d+)")
_ENDED = ("Succeeded", "Failed", "Error", "Skipped", "Omitted")
# Argo's phases as the API's states; what it does not know is not said.
_STATES = {
    "Pending": "PENDING",
    "Running": "RUNNING",
    "Succeeded": "SUCCEEDED",
    "Skipped": "SKIPPED",
    "Failed": "FAILED",
    "Error": "FAILED",
}
_TERMINATED = "workflow shutdown with strategy:  Terminate"


@dataclass
class Node:
    """One node.

    Attributes:
        id: Its id.
        display_name: Its name for people, the same for the executors of all tasks.
        type: DAG or Pod.
        template: The name of its template.
        boundary: Id of the DAG that it is in.
        phase: Argo's word for its state.
        message: Why it failed.
        exit_code: Of its container.
    """

    id: str
    display_name: str
    type: str
    template: str
    boundary: str
    phase: str = "Pending"
    started: datetime | None = None
    finished: datetime | None = None
    message: str = ""
    exit_code: str = ""
    children: list[str] = field(default_factory=list)


class Workflow:
    """The workflow of one run."""

    def __init__(self, name: str, package: Package) -> None:
        """Take the workflow's name and what it runs."""
        self.name = name
        self._package = package
        self._nodes: dict[str, Node] = {}

    def report(self, event: Event, at: datetime) -> None:
        """Let something happen in the run.

        Args:
            event: What happens.
            at: When.
        """
        self._begin((), at)
        if not event.path:
            self._end_all(event, at)
            return
        for length in range(1, len(event.path)):
            self._begin(event.path[:length], at)
        if event.state == "NOT_TRIGGERED":
            self._set(self._node(event.path, "itself"), "Skipped", at)
            return
        self._begin(event.path, at)
        self._change(event, at)

    def task_details(self, run_id: str) -> list[dict[str, Any]]:
        """What the API answers of the tasks, by no order that means anything."""
        return [
            without_empty(
                {
                    "run_id": run_id,
                    "task_id": f"{zlib.crc32(f'{run_id}{node.id}'.encode()):08x}",
                    "display_name": node.display_name,
                    "create_time": write_time(node.started),
                    "start_time": write_time(node.started),
                    "end_time": write_time(node.finished),
                    "state": _STATES.get(node.phase, ""),
                    "child_tasks": [{"pod_name": child} for child in node.children],
                }
            )
            for node in sorted(self._nodes.values(), key=lambda node: node.id)
        ]

    def manifest(self) -> dict[str, Any]:
        """The workflow as Kubernetes has it, which the first version of the API tells whole."""
        return {
            "metadata": {"name": self.name},
            "status": {
                "nodes": {
                    node.id: without_empty(
                        {
                            "id": node.id,
                            "displayName": node.display_name,
                            "type": node.type,
                            "templateName": node.template,
                            "boundaryID": node.boundary,
                            "phase": node.phase,
                            "message": node.message,
                            "outputs": {"exitCode": node.exit_code} if node.exit_code else {},
                            "children": node.children,
                        }
                    )
                    for node in self._nodes.values()
                }
            },
        }

    def _begin(self, path: TaskPath, at: datetime) -> None:
        driver, itself = self._node(path, "driver"), self._node(path, "itself")
        if itself.phase not in ("Running", *_ENDED):
            self._set(driver, "Succeeded", at)
            self._set(itself, "Running", at)
        if self._is_leaf(path):
            executor = self._node(path, "executor")
            if executor.phase not in _ENDED:
                self._set(executor, "Running", at)

    def _change(self, event: Event, at: datetime) -> None:
        nodes = [self._node(event.path, "itself")]
        if self._is_leaf(event.path):
            nodes.append(self._node(event.path, "executor"))
        for node in nodes:
            is_cached = event.state == "SKIPPED"
            if event.state == "SUCCEEDED" or (is_cached and node.type == "DAG"):
                self._set(node, "Succeeded", at)
            elif is_cached:
                self._set(node, "Skipped", at)
            elif event.state in ("FAILED", "CANCELLED"):
                self._fail(node, event, at)
            elif event.state == "PENDING" and node.type == "Pod":
                node.phase, node.message = "Pending", event.error

    def _fail(self, node: Node, event: Event, at: datetime) -> None:
        self._set(node, "Failed", at)
        if node.type != "Pod":
            return
        if event.state == "CANCELLED":
            node.message = _TERMINATED
            return
        found = _EXIT_CODE.search(event.error)
        node.exit_code = found[1] if found else "1"
        node.message = f"main: Error (exit code {node.exit_code})"
        if node.exit_code == "137":
            node.message = "main: OOMKilled (exit code 137)"

    def _end_all(self, event: Event, at: datetime) -> None:
        if event.state not in ("SUCCEEDED", "FAILED", "CANCELLED"):
            return
        for node in self._nodes.values():
            if node.phase == "Running":
                self._set(node, "Succeeded" if event.state == "SUCCEEDED" else "Failed", at)
                if event.state == "CANCELLED" and node.type == "Pod":
                    node.message = _TERMINATED
            elif node.phase == "Skipped" and event.state != "SUCCEEDED":
                node.phase = "Omitted"

    def _set(self, node: Node, phase: str, at: datetime) -> None:
        node.phase = phase
        node.started = node.started or at
        if phase in _ENDED:
            node.finished = at

    def _node(self, path: TaskPath, part: str) -> Node:
        """The node of a task's part, made where it is not there."""
        key = "/".join((*path, part))
        identifier = f"{self.name}-{zlib.crc32(key.encode())}"
        if identifier not in self._nodes:
            name = path[-1] if path else "root"
            display = {"driver": f"{name}-driver", "itself": name, "executor": "executor"}[part]
            template = {
                "driver": "system-container-driver" if self._is_leaf(path) else "system-dag-driver",
                "itself": "system-container-executor" if self._is_leaf(path) else name,
                "executor": "system-container-impl",
            }[part]
            boundary = self._boundary(path, part)
            kind = "DAG" if part == "itself" else "Pod"
            self._nodes[identifier] = Node(identifier, display, kind, template, boundary)
            if boundary in self._nodes:
                self._nodes[boundary].children.append(identifier)
        return self._nodes[identifier]

    def _boundary(self, path: TaskPath, part: str) -> str:
        if part == "executor":
            return self._node(path, "itself").id
        if path:
            return self._node(path[:-1], "itself").id
        if self.name not in self._nodes:
            self._nodes[self.name] = Node(self.name, self.name, "DAG", "entrypoint", "", "Running")
        return self.name

    def _is_leaf(self, path: TaskPath) -> bool:
        if not path:
            return False
        component = self._package.message.root
        for name in _task_names(path, component):
            task = component.dag.tasks.get(name)
            if task is None:
                return False
            component = self._package.message.components[task.component_ref.name]
        return component.WhichOneof("implementation") == "executor_label"


def _task_names(path: TaskPath, root: Any) -> Iterator[str]:
    """Leaves the iterations of loops out, which are no tasks of the pipeline."""
    before = ""
    for name in path:
        if not (before and re.fullmatch(rf"{re.escape(before)}-\d+", name)):
            yield name
        before = name
