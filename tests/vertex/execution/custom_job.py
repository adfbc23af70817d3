"""Runs a CustomJob: the commands of its containers as processes of this machine."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.loopback_server import free_port
from tests.vertex.execution.processes import container_environment, end_tree, last_lines
from tests.vertex.images import image_environment
from tests.vertex.runner_protocol import Event, Report

# How long a worker may take to save its state after a cancellation before it is killed.
_PATIENCE_SECONDS = 20.0
_MAX_RESTARTS = 3
_DEFAULT_TIMEOUT = "604800s"
# What TF_CONFIG calls the pools.
_TENSORFLOW_ROLES = {
    "workerpool0": "chief",
    "workerpool1": "worker",
    "workerpool2": "ps",
    "workerpool3": "evaluator",
}


def start_custom_job(
    job: dict[str, Any], environment: Mapping[str, str], folder: Path, report: Report
) -> CustomJobRun:
    """Runs a CustomJob; see `Runner` in runner_protocol.py."""
    folder.mkdir(parents=True, exist_ok=True)
    return CustomJobRun(job, environment, folder, report)


class CustomJobRun:
    """A CustomJob, followed by a thread.

    Attributes:
        pids: Of the workers that run now, for tests that kill one.
    """

    def __init__(
        self, job: dict[str, Any], environment: Mapping[str, str], folder: Path, report: Report
    ) -> None:
        """Starts the job.

        Args:
            job: Its REST body.
            environment: Redirects the workers to the local Vertex AI.
            folder: For the workers' logs.
            report: Takes the events, all of the path ().
        """
        self.pids: list[int] = []
        self._job = job
        self._workers = _workers(job, folder)
        self._environment = {**environment, **_job_environment(job)}
        self._report = report
        self._cancelled = threading.Event()
        self._preempted = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Asks the workers to end; what has not ended in time is killed."""
        self._cancelled.set()

    def preempt(self) -> None:
        """Takes the machines away as from a spot job: workers are asked to end, then killed."""
        self._preempted.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Waits for the last event."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        self._report(Event((), "RUNNING"))
        scheduling = self._job["jobSpec"].get("scheduling", {})
        timeout = float(scheduling.get("timeout", _DEFAULT_TIMEOUT).removesuffix("s"))
        deadline = time.monotonic() + timeout if timeout else float("inf")
        restarts = _MAX_RESTARTS if scheduling.get("restartJobOnWorkerRestart") else 0
        try:
            for left in range(restarts, -1, -1):
                self._preempted.clear()
                codes = self._run_once(deadline)
                # Killed by nobody of this job means that the machine was lost.
                is_lost = self._preempted.is_set() or any(code < 0 for code in codes)
                if not (left and is_lost) or self._is_over(deadline):
                    break
            self._report(self._last_event(codes, deadline, timeout))
        except OSError as error:
            self._report(Event((), "FAILED", error=f"The container did not start: {error}"))

    def _is_over(self, deadline: float) -> bool:
        return self._cancelled.is_set() or time.monotonic() >= deadline

    def _run_once(self, deadline: float) -> list[int]:
        processes = [worker.start(self._environment) for worker in self._workers]
        self.pids = [process.pid for process in processes]
        while any(process.poll() is None for process in processes):
            failed = any(process.poll() for process in processes)
            if failed or self._preempted.is_set() or self._is_over(deadline):
                for process in processes:
                    end_tree(process, _PATIENCE_SECONDS)
            self._cancelled.wait(0.05)
        return [process.wait() for process in processes]

    def _last_event(self, codes: list[int], deadline: float, timeout: float) -> Event:
        if self._cancelled.is_set():
            return Event((), "CANCELLED", error="The job was cancelled.")
        if any(codes) and time.monotonic() >= deadline:
            return Event((), "FAILED", error=f"The job ran longer than its timeout of {timeout} s.")
        for worker, code in zip(self._workers, codes, strict=True):
            if code:
                error = f"The replica {worker.name} exited with a non-zero status of {code}."
                log = last_lines(worker.log)
                return Event((), "FAILED", error=f"{error} To find out more, see its log:\n{log}")
        return Event((), "SUCCEEDED")


class _Worker:
    """One replica of a worker pool."""

    def __init__(
        self, name: str, container: dict[str, Any], variables: Mapping[str, str], log: Path
    ) -> None:
        self.name = name
        self.log = log
        self._command = [*container.get("command", []), *container.get("args", [])]
        self._image = image_environment(container["imageUri"])
        self._environment = dict(variables)
        for variable in container.get("env", []):
            self._environment[variable["name"]] = variable.get("value", "")

    def start(self, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        Path(self._environment["TMPDIR"]).mkdir(exist_ok=True)
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                env=container_environment({**environment, **self._environment}, self._image),
                cwd=self.log.parent,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def _workers(job: dict[str, Any], folder: Path) -> list[_Worker]:
    pools = job["jobSpec"]["workerPoolSpecs"]
    sizes = {
        f"workerpool{number}": int(pool.get("replicaCount", 0)) for number, pool in enumerate(pools)
    }
    # All are on this machine, where the ports that the service names may be taken.
    cluster = {
        name: [f"127.0.0.1:{free_port()}" for _ in range(size)]
        for name, size in sizes.items()
        if size
    }
    workers = []
    for name, pool in zip(sizes, pools, strict=True):
        for index in range(sizes[name]):
            variables = _cluster_variables(cluster, name, index, job["jobSpec"])
            replica = f"{name}-{index}"
            # Each has a disk of its own.
            variables["TMPDIR"] = str(folder / f"{replica}-disk")
            log = folder / f"{replica}.log"
            workers.append(_Worker(replica, pool["containerSpec"], variables, log))
    return workers


def _cluster_variables(
    cluster: Mapping[str, list[str]], pool: str, index: int, job: Any
) -> dict[str, str]:
    """Describes the job to one replica; TF_CONFIG is set where there is more than one."""
    common = {"environment": "cloud", "job": json.dumps(job)}
    task = {"type": pool, "index": index}
    variables = {"CLUSTER_SPEC": json.dumps({**common, "cluster": cluster, "task": task})}
    if sum(map(len, cluster.values())) > 1:
        roles = {_TENSORFLOW_ROLES[name]: found for name, found in cluster.items()}
        # An evaluator is no part of TensorFlow's cluster.
        known = {role: found for role, found in roles.items() if role != "evaluator"}
        task = {**task, "type": _TENSORFLOW_ROLES[pool]}
        variables["TF_CONFIG"] = json.dumps({**common, "cluster": known, "task": task})
    return variables


def _job_environment(job: dict[str, Any]) -> dict[str, str]:
    _, project, _, location, _, job_id = job["name"].split("/")
    environment = {
        "CLOUD_ML_JOB_ID": job_id,
        "CLOUD_ML_PROJECT_ID": project,
        "CLOUD_ML_REGION": location,
    }
    output = job["jobSpec"].get("baseOutputDirectory", {}).get("outputUriPrefix", "")
    if output:
        folders = {
            "MODEL_DIR": "model",
            "CHECKPOINT_DIR": "checkpoints",
            "TENSORBOARD_LOG_DIR": "logs",
        }
        for variable, name in folders.items():
            environment[f"AIP_{variable}"] = f"{output.rstrip('/')}/{name}/"
    return environment
