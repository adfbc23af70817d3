"""The container of a deployed model: a process that is called as Vertex AI calls containers.

The image is not looked at: a container without a command of its own runs our prediction server.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from kfp_llm_tuning.components.models.base_models import CACHE_VARIABLE
from tests.vertex.execution.processes import container_environment, end_tree, last_lines
from tests.vertex.runner_protocol import ContainerAnswer, ContainerError

_SERVER = [sys.executable, "-m", "kfp_llm_tuning.components.serving"]
_HOST = "127.0.0.1"
# Seconds: to answer a health check, to become healthy, to end, and to answer a prediction.
_CHECK_SECONDS = 10.0
_DEPLOYMENT_SECONDS = 1800.0
_PATIENCE_SECONDS = 30.0
_PREDICTION_SECONDS = 600.0


def start_container(
    model: dict[str, Any],
    endpoint: str,
    deployed: dict[str, Any],
    environment: Mapping[str, str],
    folder: Path,
) -> ServingContainer:
    """Starts the container of a deployed model; see `Runner` in runner_protocol.py."""
    folder.mkdir(parents=True, exist_ok=True)
    spec = model.get("containerSpec", {})
    address = _Address(
        port=_free_port(),
        health=spec.get("healthRoute") or _default_route(endpoint, deployed),
        predict=spec.get("predictRoute") or f"{_default_route(endpoint, deployed)}:predict",
    )
    variables = {
        # A container starts with an empty disk; this one listens to this machine alone, where no
        # load balancer has to notice its end.
        CACHE_VARIABLE: str(folder / "cache"),
        "KFP_LLM_TUNING_SERVING_HOST": _HOST,
        "KFP_LLM_TUNING_SERVING_DRAIN_SECONDS": "0",
        **{variable["name"]: variable.get("value", "") for variable in spec.get("env", [])},
        **_aip_variables(model, endpoint, deployed, address),
    }
    command = [*spec.get("command", []), *spec.get("args", [])] or _SERVER
    log = folder / "container.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=container_environment({**environment, **variables}),
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    timeout = spec.get("deploymentTimeout", f"{_DEPLOYMENT_SECONDS}s").removesuffix("s")
    return ServingContainer(process, address, log, float(timeout))


@dataclass(frozen=True)
class _Address:
    """Where a container listens."""

    port: int
    health: str
    predict: str

    def url(self, route: str) -> str:
        return f"http://{_HOST}:{self.port}{route}"


class ServingContainer:
    """A container that was started; see `Container` in runner_protocol.py.

    Attributes:
        process: What runs in it, for tests that kill it.
        log: What that wrote.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], address: _Address, log: Path, timeout: float
    ) -> None:
        """Takes a process that has just been started.

        Args:
            process: The process.
            address: Where it will listen.
            log: Where it writes.
            timeout: Seconds in which it has to become healthy.
        """
        self.process = process
        self.log = log
        self._address = address
        self._timeout = timeout
        self._pool = urllib3.PoolManager(maxsize=64, retries=False)

    def wait_until_healthy(self) -> None:
        """Waits until the health route answers 200."""
        deadline = time.monotonic() + self._timeout
        while not self._is_healthy():
            if self.process.poll() is not None:
                raise ContainerError(f"Model server exited unexpectedly. {self._log_end()}")
            if time.monotonic() >= deadline:
                raise ContainerError(f"Model server never became ready. {self._log_end()}")
            time.sleep(0.1)

    @contextmanager
    def post(self, body: bytes, content_type: str) -> Iterator[ContainerAnswer]:
        """Sends a body to the predict route."""
        url = self._address.url(self._address.predict)
        timeout = urllib3.Timeout(connect=_CHECK_SECONDS, read=_PREDICTION_SECONDS)
        headers = {"Content-Type": content_type}
        try:
            response = self._pool.request(
                "POST", url, body=body, headers=headers, timeout=timeout, preload_content=False
            )
            with response:
                kind = response.headers.get("Content-Type", "")
                yield ContainerAnswer(response.status, kind, response.stream(amt=None))
        except urllib3.exceptions.HTTPError as error:
            raise ContainerError(f"upstream connect error: {error}") from error

    def stop(self) -> None:
        """Asks the process to end, and kills it where it does not; returns at once."""
        arguments = (self.process, _PATIENCE_SECONDS)
        threading.Thread(target=end_tree, args=arguments, daemon=True).start()

    def kill(self) -> None:
        """Ends the process at once."""
        if self.process.poll() is None:
            end_tree(self.process, patience_seconds=0)
            self.process.wait()
        self._pool.clear()

    def _is_healthy(self) -> bool:
        url = self._address.url(self._address.health)
        try:
            return self._pool.request("GET", url, timeout=_CHECK_SECONDS).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def _log_end(self) -> str:
        return f"Its log ends:\n{last_lines(self.log)}"


def _default_route(endpoint: str, deployed: Mapping[str, Any]) -> str:
    return f"/v1/endpoints/{endpoint.rpartition('/')[2]}/deployedModels/{deployed['id']}"


def _aip_variables(
    model: Mapping[str, Any], endpoint: str, deployed: Mapping[str, Any], address: _Address
) -> dict[str, str]:
    """What Vertex AI tells every container."""
    machine = deployed.get("dedicatedResources", {}).get("machineSpec", {})
    return {
        "AIP_HTTP_PORT": str(address.port),
        "AIP_HEALTH_ROUTE": address.health,
        "AIP_PREDICT_ROUTE": address.predict,
        "AIP_STORAGE_URI": model.get("artifactUri", ""),
        "AIP_MODE": "PREDICTION",
        "AIP_FRAMEWORK": "CUSTOM_CONTAINER",
        "AIP_ENDPOINT_ID": endpoint.rpartition("/")[2],
        "AIP_DEPLOYED_MODEL_ID": deployed["id"],
        "AIP_MACHINE_TYPE": machine.get("machineType", ""),
        "AIP_ACCELERATOR_TYPE": machine.get("acceleratorType", ""),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port
