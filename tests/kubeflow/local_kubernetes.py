"""A Kubernetes API on loopback for tests, which only answers what there is.

with local_kubernetes(folder) as cluster:
    cluster.add("secret", "hub", data={"token": "eA=="})
    # KUBECONFIG=cluster.kubeconfig leads clients there
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.loopback_server import LoopbackHandler, LoopbackServer

NAMESPACE = "kubeflow"
# By kind: where its objects are, {} the namespace.
_FOLDERS = {
    "secret": "/api/v1/namespaces/{}/secrets",
    "claim": "/api/v1/namespaces/{}/persistentvolumeclaims",
    "account": "/api/v1/namespaces/{}/serviceaccounts",
    "node": "/api/v1/nodes",
    "storage class": "/apis/storage.k8s.io/v1/storageclasses",
    "inference service": "/apis/serving.kserve.io/v1beta1/namespaces/{}/inferenceservices",
    "train job": "/apis/trainer.kubeflow.org/v1alpha1/namespaces/{}/trainjobs",
    "training runtime": "/apis/trainer.kubeflow.org/v1alpha1/clustertrainingruntimes",
    "local queue": "/apis/kueue.x-k8s.io/v1beta1/namespaces/{}/localqueues",
}
_VERSION = {"major": "1", "minor": "31", "gitVersion": "v1.31.0", "gitCommit": "", "platform": "",
            "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": ""}  # fmt: skip


class LocalKubernetes:
    """The server and what tests may change.

    Attributes:
        url: Where it listens.
        kubeconfig: The file that leads clients there; its context is called local.
        forbidden: Kinds that the caller may not look at.
        kserve: Whether KServe is installed.
        trainer: Whether Kubeflow Trainer is installed.
        methods: What was asked: every one of them must be GET.
    """

    def __init__(self, folder: Path) -> None:
        """Start the server."""
        self.forbidden: set[str] = set()
        self.kserve = False
        self.trainer = False
        self.methods: list[str] = []
        self._objects: dict[str, dict[str, Any]] = {}
        self._server = LoopbackServer(_Handler, cluster=self)
        self.url = self._server.url
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(yaml.safe_dump(kubeconfig(self.url)), encoding="utf-8")
        self._server.start()

    def close(self) -> None:
        """Stop the server."""
        self._server.stop()

    def add(self, kind: str, name: str, namespace: str = NAMESPACE, **fields: Any) -> None:
        """Put something into the cluster.

        Args:
            kind: secret, claim, account, node or storage class.
            name: Its name.
            namespace: Where it has one.
            fields: The rest of its JSON.
        """
        path = f"{_FOLDERS[kind].format(namespace)}/{name}"
        metadata = {"name": name, **fields.pop("metadata", {})}
        self._objects[path] = {"metadata": metadata, **fields}

    def add_node(
        self, name: str, labels: dict[str, str] | None = None, ready: bool = True, **resources: str
    ) -> None:
        """Put a node into the cluster.

        Args:
            name: Its name.
            labels: Its labels.
            ready: Whether it is ready.
            resources: What it offers; gpu stands for nvidia.com/gpu.
        """
        offered = {"cpu": "64", "memory": "512Gi", **resources}
        if "gpu" in offered:
            offered["nvidia.com/gpu"] = offered.pop("gpu")
        condition = {"type": "Ready", "status": "True" if ready else "False"}
        status = {"allocatable": offered, "conditions": [condition]}
        self.add("node", name, metadata={"labels": labels or {}}, spec={}, status=status)

    def get(self, path: str) -> tuple[HTTPStatus, dict[str, Any]]:
        """Answer a request."""
        if path == "/version/":
            return HTTPStatus.OK, _VERSION
        kind = self._kind(path)
        if kind in self.forbidden:
            return HTTPStatus.FORBIDDEN, {"kind": "Status", "reason": "Forbidden"}
        installed = {"inference service": self.kserve, "train job": self.trainer}
        if not installed.get(kind, True):
            return HTTPStatus.NOT_FOUND, {"kind": "Status", "reason": "NotFound"}
        if path in self._objects:
            return HTTPStatus.OK, self._objects[path]
        if path.rpartition("/")[2] in ("nodes", "inferenceservices", "trainjobs"):
            items = [item for name, item in self._objects.items() if name.startswith(f"{path}/")]
            return HTTPStatus.OK, {"items": items}
        return HTTPStatus.NOT_FOUND, {"kind": "Status", "reason": "NotFound"}

    def _kind(self, path: str) -> str:
        words = path.split("/")
        for kind, folder in _FOLDERS.items():
            if folder.rpartition("/")[2] in words:
                return kind
        return ""


class _Handler(LoopbackHandler):
    cluster: LocalKubernetes

    def _answer(self) -> None:
        self.cluster.methods.append(self.command)
        status, content = self.cluster.get(urlsplit(self.path).path)
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815


def kubeconfig(url: str) -> dict[str, Any]:
    """Write a kubeconfig, with one context, that leads to a server."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "local",
        "clusters": [{"name": "local", "cluster": {"server": url}}],
        "users": [{"name": "me", "user": {"token": "x"}}],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": "me"}}],
    }


@contextmanager
def local_kubernetes(folder: Path) -> Iterator[LocalKubernetes]:
    """Run a local Kubernetes API.

    Args:
        folder: For its kubeconfig.

    Yields:
        The running server.
    """
    cluster = LocalKubernetes(folder)
    try:
        yield cluster
    finally:
        cluster.close()
