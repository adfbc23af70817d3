"""A cluster on loopback: the part of Kubernetes' API that serves InferenceServices, and KServe.

It keeps objects as an API server does (versions, conflicts, Status bodies), and brings a service
to readiness some looks after its predictor was written, as KServe's controller does: until then
the status is that of the version before. The served model answers on the same port.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import yaml

from tests.loopback_server import LoopbackHandler

# In the place of a status.
CUT = 0
_API = re.compile(
    r"/apis/serving\.kserve\.io/v1beta1/namespaces/(?P<namespace>[^/]+)/inferenceservices"
    r"(?:/(?P<name>[^/]+))?"
)
_SERVED = re.compile(r"/served/(?P<name>[^/]+)(?P<route>/.*)")
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


@dataclass
class Fault:
    """One request that goes wrong.

    Attributes:
        method: The HTTP method that it is for.
        status: What is answered; ``CUT``: nothing, for the connection breaks off.
        message: What is said.
        done: Whether the request is done all the same, and only its answer lost.
    """

    method: str
    status: int
    message: str = "the server is in trouble"
    done: bool = False


@dataclass
class Cluster:
    """What the stand-in holds, and how it behaves.

    Attributes:
        objects: The services, by name.
        calls: Methods of the calls of the API, in their order.
        faults: Are used up one by one.
        has_kserve: Whether the API server knows InferenceServices.
        looks: How often a service is looked at until it is ready.
        not_ready: What a service says of itself until then.
        answer: Status and body of a prediction.
        guarded: Status with which everything is refused to clients of a model; 0 for none.
        asked: The predictions' bodies.
    """

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    has_kserve: bool = True
    looks: int = 2
    not_ready: dict[str, Any] = field(default_factory=dict)
    answer: tuple[int, Any] = (200, {"predictions": [{"content": "Hi."}]})
    guarded: int = 0
    asked: list[Any] = field(default_factory=list)
    url: str = ""

    def __post_init__(self) -> None:
        self._lock = Lock()
        self._pending: dict[str, int] = {}
        self._live: dict[str, str] = {}

    def api(self, method: str, name: str | None, body: Any) -> tuple[int, Any]:
        """Answers a call of the API."""
        with self._lock:
            self.calls.append(method)
            fault = next((fault for fault in self.faults if fault.method == method), None)
            if fault:
                self.faults.remove(fault)
                if not fault.done:
                    return fault.status, _status(fault.status, fault.message)
            status, answer = self._done(method, name, body)
            if fault and fault.done:
                return fault.status, _status(fault.status, fault.message)
            return status, answer

    def _done(self, method: str, name: str | None, body: Any) -> tuple[int, Any]:
        if not self.has_kserve:
            return 404, _status(404, "the server could not find the requested resource")
        if method == "POST":
            return self._create(body)
        assert name is not None
        if name not in self.objects:
            message = f'inferenceservices.serving.kserve.io "{name}" not found'
            return 404, _status(404, message, {"name": name, "kind": "inferenceservices"})
        if method == "PUT":
            return self._replace(name, body)
        self._reconcile(name)
        return 200, self.objects[name]

    def _create(self, body: Any) -> tuple[int, Any]:
        name = body["metadata"]["name"]
        if problem := _invalid(body):
            return 422, _status(422, problem)
        if name in self.objects:
            return 409, _status(409, f'inferenceservices "{name}" already exists')
        written = copy.deepcopy(body)
        written["metadata"] |= {"resourceVersion": "1", "generation": 1}
        self.objects[name] = written
        self._pending[name] = self.looks
        return 201, written

    def _replace(self, name: str, body: Any) -> tuple[int, Any]:
        existing = self.objects[name]
        if problem := _invalid(body):
            return 422, _status(422, problem)
        if body["metadata"].get("resourceVersion") != existing["metadata"]["resourceVersion"]:
            return 409, _status(409, "the object has been modified")
        written = copy.deepcopy(body)
        written["metadata"]["resourceVersion"] = str(
            int(existing["metadata"]["resourceVersion"]) + 1
        )
        if written["spec"] != existing["spec"]:
            written["metadata"]["generation"] += 1
            self._pending[name] = self.looks
        self.objects[name] = written
        return 200, written

    def _reconcile(self, name: str) -> None:
        """Brings a service a look nearer to readiness."""
        found = self.objects[name]
        left = self._pending.get(name, 0)
        if left > 0:
            self._pending[name] = left - 1
            found.setdefault("status", self.not_ready)
        elif not self.not_ready or "status" not in found:
            found["status"] = self._ready(name)
            environment = found["spec"]["predictor"]["containers"][0]["env"]
            variables = {entry["name"]: entry["value"] for entry in environment}
            self._live[name] = variables["AIP_HEALTH_ROUTE"]

    def _ready(self, name: str) -> dict[str, Any]:
        return {
            "conditions": [{"type": "Ready", "status": "True"}],
            "url": f"http://{name}.example.com",
            "address": {"url": f"{self.url}/served/{name}"},
        }

    def served(self, name: str, route: str, body: Any) -> tuple[int, Any]:
        """Answers as the model's server does."""
        if self.guarded:
            return self.guarded, "RBAC: access denied"
        if route == "/predict" and body is not None:
            self.asked.append(body)
            return self.answer
        healthy = self._live.get(name) == route
        return (200, {"status": "ok"}) if healthy else (404, {"error": "no such route"})


def _invalid(body: Any) -> str:
    """Says what KServe's webhook would not let through."""
    predictor = body["spec"]["predictor"]
    if not _NAME.fullmatch(body["metadata"]["name"]):
        return "the name has another form"
    if body["apiVersion"] != "serving.kserve.io/v1beta1" or body["kind"] != "InferenceService":
        return "another kind"
    if [container["name"] for container in predictor["containers"]] != ["kserve-container"]:
        return "one container is called kserve-container"
    if predictor["minReplicas"] > predictor["maxReplicas"]:
        return "minReplicas cannot be greater than maxReplicas"
    return ""


def _status(code: int, message: str, details: Any = None) -> dict[str, Any]:
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code}
    return {**status, "message": message, **({"details": details} if details else {})}


@contextmanager
def running(cluster: Cluster) -> Iterator[Cluster]:
    """Runs the stand-in at a free port until the block ends."""

    class Handler(LoopbackHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            if api := _API.fullmatch(self.path):
                status, answer = cluster.api(self.command, api["name"], body)
            elif served := _SERVED.fullmatch(self.path):
                status, answer = cluster.served(served["name"], served["route"], body)
            else:
                status, answer = 404, "404 page not found"
            if status == CUT:
                self.reset()
                return
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = _answer  # noqa: N815 (http.server's names)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    cluster.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield cluster
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def write_kubeconfig(path: Path, url: str, namespace: str = "team-a") -> None:
    """Writes a kubeconfig whose current context is the stand-in."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [
            {"name": "here", "context": {"cluster": "c", "user": "u", "namespace": namespace}}
        ],
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
    }
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
