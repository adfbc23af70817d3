"""Kubeflow Trainer on loopback: the part of Kubernetes' API that serves TrainJobs, and their nodes.

A TrainJob is checked against the schema of its kind, and its nodes run as processes of this machine
with the variables that the runtime for torch gives them. A node that fails is started again as
Kubernetes' Job does, some times; then the TrainJob has failed.
"""

from __future__ import annotations

import copy
import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import jsonschema

from tests.components.upload.kserve_cluster import CUT, Fault, write_kubeconfig
from tests.loopback_server import LoopbackHandler, LoopbackServer, free_port
from tests.vertex.execution.processes import container_environment, end_tree
from tests.vertex.images import start_error

NAMESPACE = "team-a"
SCHEMA = json.loads(Path(__file__).with_name("train_job.schema.json").read_text(encoding="utf-8"))
_API = re.compile(
    r"/apis/trainer\.kubeflow\.org/v1alpha1/namespaces/[^/]+/trainjobs(?:/(?P<name>[^/?]+))?"
)
_STATUS_ROUTE = re.compile(r"/status/(?P<name>[^/]+)")
_PATIENCE_SECONDS = 20.0
_RESERVED = re.compile(r"PET_(NNODES|NPROC_PER_NODE|NODE_RANK|MASTER_ADDR|MASTER_PORT)")


class LocalTrainer:
    """The API server and the controller.

    Attributes:
        url: Where it listens.
        kubeconfig: Leads clients there.
        jobs: The TrainJobs, by name.
        made: Every TrainJob that was ever made, in order.
        calls: Methods of the calls, in order.
        faults: Are used up one by one.
        installed: Whether the API server knows TrainJobs.
        restarts: How often each node that failed is started again.
        nodes: The processes of a job's nodes, by its name.
    """

    def __init__(self, folder: Path) -> None:
        """Starts the server."""
        self.jobs: dict[str, dict[str, Any]] = {}
        self.made: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.faults: list[Fault] = []
        self.installed = True
        self.restarts = 1
        self.nodes: dict[str, list[subprocess.Popen[bytes]]] = {}
        self._folder = folder
        self._lock = threading.RLock()
        self._server = LoopbackServer(_Handler, trainer=self)
        self.url = self._server.url
        self.kubeconfig = folder / "kubeconfig"
        write_kubeconfig(self.kubeconfig, self.url, NAMESPACE)
        (folder / "token").write_text("secret", encoding="utf-8")
        self._server.start()

    def close(self) -> None:
        """Stops the server and all nodes."""
        for name in list(self.nodes):
            self._end(name)
        self._server.stop()

    def log(self, name: str, node: int = 0) -> str:
        """Reads what a node printed."""
        return (self._folder / f"{name}-{node}.log").read_text(encoding="utf-8", errors="replace")

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Answers a call."""
        if reported := _STATUS_ROUTE.fullmatch(path):
            with self._lock:
                self.jobs[reported["name"]].setdefault("status", {}).update(body)
            return 200, {}
        found = _API.match(path)
        if not found or not self.installed:
            return 404, _status(404, "the server could not find the requested resource")
        with self._lock:
            self.calls.append(method)
            fault = next((one for one in self.faults if one.method == method), None)
            if fault:
                self.faults.remove(fault)
                if not fault.done:
                    return fault.status, _status(fault.status, fault.message)
            status, content = self._done(method, found["name"], body)
            if fault:
                return fault.status, _status(fault.status, fault.message)
            return status, content

    def _done(self, method: str, name: str | None, body: Any) -> tuple[int, Any]:
        if method == "POST":
            return self._create(body)
        if name not in self.jobs:
            message = f'trainjobs.trainer.kubeflow.org "{name}" not found'
            return 404, _status(404, message, {"name": name, "kind": "trainjobs"})
        if method == "DELETE":
            self._end(name)
            del self.jobs[name]
            return 200, {"kind": "Status", "status": "Success"}
        self._reconcile(name)
        return 200, self.jobs[name]

    def _create(self, body: Any) -> tuple[int, Any]:
        error = jsonschema.exceptions.best_match(
            jsonschema.Draft202012Validator(SCHEMA).iter_errors(body)
        )
        if error:
            return 422, _status(422, f"{error.json_path}: {error.message}")
        trainer = body["spec"]["trainer"]
        if reserved := [one["name"] for one in trainer["env"] if _RESERVED.fullmatch(one["name"])]:
            return 403, _status(403, f"must not have reserved envs: {reserved}")
        name = body["metadata"]["name"]
        if name in self.jobs:
            return 409, _status(409, f'trainjobs "{name}" already exists')
        self.jobs[name] = {**copy.deepcopy(body), "status": {"conditions": []}}
        self.made.append(self.jobs[name])
        kind = "GPU" if "nvidia.com/gpu" in str(trainer.get("resourcesPerNode")) else ""
        if refused := start_error(trainer["image"], "nvidia.com/gpu" if kind else ""):
            self._condition(name, "Failed", refused)
        else:
            self._start(name)
        return 201, self.jobs[name]

    def _start(self, name: str) -> None:
        trainer = self.jobs[name]["spec"]["trainer"]
        port = str(free_port())
        self._starts = dict.fromkeys(range(trainer["numNodes"]), 0)
        self._variables = [
            self._node_variables(name, trainer, node, port) for node in range(trainer["numNodes"])
        ]
        self.nodes[name] = [
            self._process(name, trainer["command"], node) for node in range(trainer["numNodes"])
        ]

    def _node_variables(
        self, name: str, trainer: Mapping[str, Any], node: int, port: str
    ) -> dict[str, str]:
        given = {one["name"]: one["value"] for one in trainer["env"] if "value" in one}
        gpus = trainer.get("resourcesPerNode", {}).get("limits", {}).get("nvidia.com/gpu", "1")
        (self._folder / f"{name}-{node}").mkdir(exist_ok=True)
        return {
            **given,
            "TMPDIR": str(self._folder / f"{name}-{node}"),
            "PET_NNODES": str(trainer["numNodes"]),
            "PET_NPROC_PER_NODE": gpus,
            "PET_NODE_RANK": str(node),
            "PET_MASTER_ADDR": "127.0.0.1",  # On a cluster NAME-node-0-0.NAME.
            "PET_MASTER_PORT": port,
            "KUBEFLOW_TRAINER_SERVER_URL": f"{self.url}/status/{name}",
            "KUBEFLOW_TRAINER_SERVER_TOKEN": str(self._folder / "token"),
        }

    def _process(self, name: str, command: list[str], node: int) -> subprocess.Popen[bytes]:
        self._starts[node] += 1
        with (self._folder / f"{name}-{node}.log").open("ab") as log:
            return subprocess.Popen(
                command,
                env=container_environment(self._variables[node]),
                cwd=self._folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _reconcile(self, name: str) -> None:
        """Starts nodes again that ended, or says how the job ended; called at every look."""
        nodes = self.nodes.get(name, [])
        if not nodes or self.jobs[name]["status"]["conditions"]:
            return
        command = self.jobs[name]["spec"]["trainer"]["command"]
        for node, process in enumerate(nodes):
            if not process.poll():
                continue
            if self._starts[node] > self.restarts:
                self._end(name)
                self._condition(name, "Failed", f"node {node} ended with {process.returncode}")
                return
            _kill_session(process)
            nodes[node] = self._process(name, command, node)
        if all(process.poll() == 0 for process in nodes):
            self._condition(name, "Complete", "jobset completed successfully")

    def _condition(self, name: str, kind: str, message: str) -> None:
        condition = {"type": kind, "status": "True", "reason": "JobsEnded", "message": message}
        self.jobs[name]["status"]["conditions"] = [condition]

    def _end(self, name: str) -> None:
        for process in self.nodes.pop(name, []):
            end_tree(process, _PATIENCE_SECONDS)


class _Handler(LoopbackHandler):
    trainer: LocalTrainer

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        status, answer = self.trainer.answer(self.command, self.path, body)
        if status == CUT:
            self.reset()
            return
        content = json.dumps(answer).encode()
        self.send_response(HTTPStatus(status))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    """A container's processes end with its first."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _status(code: int, message: str, details: Any = None) -> dict[str, Any]:
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code}
    return {**status, "message": message, **({"details": details} if details else {})}


@contextmanager
def local_trainer(folder: Path) -> Iterator[LocalTrainer]:
    """Runs a Kubeflow Trainer.

    Args:
        folder: For its kubeconfig, and the disks and logs of nodes.

    Yields:
        The running server.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trainer = LocalTrainer(folder)
    try:
        yield trainer
    finally:
        trainer.close()
