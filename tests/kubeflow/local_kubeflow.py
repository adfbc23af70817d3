"""A local Kubeflow Pipelines for tests: its API server on loopback.

    with local_kubeflow(folder) as kubeflow:
        client = kfp.Client(host=kubeflow.url)
        run = client.run_pipeline(...)
        kubeflow.finish(run.run_id, "SUCCEEDED")

See README.md for what it can do.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.kubeflow import services
from tests.kubeflow.backend import Backend, LoggedRequest
from tests.kubeflow.server import Server
from tests.kubeflow.services import recurring_runs, runs
from tests.vertex.clock import Clock
from tests.vertex.faults import Faults
from tests.vertex.runner_protocol import Event, State


class LocalKubeflow:
    """The server and what tests may look at and change.

    Attributes:
        url: Where it listens, for ``--host`` and ``kfp.Client(host=...)``.
        backend: Its state; `multi_user`, `namespaces` and `token` may be changed.
    """

    def __init__(self, folder: Path, execute: bool = False, port: int = 0) -> None:
        """Start the server.

        Args:
            folder: For the runs' files.
            execute: Run pipelines for real, in processes of their own.
            port: Its port; 0 takes a free one.
        """
        services.register()
        folder.mkdir(parents=True, exist_ok=True)
        self.backend = Backend(folder)
        if execute:
            self.backend.start = importlib.import_module("tests.kubeflow.execution").start_run
        recurring_runs.attach(self.backend)
        self._server = Server(self.backend, port)
        self.url = self._server.url
        self._server.start()

    def close(self) -> None:
        """Cancel what runs and stop the server."""
        self.faults.stop()
        for handle in list(self.backend.handles.values()):
            handle.cancel()
            handle.wait(timeout=30)
        self._server.stop()

    @property
    def faults(self) -> Faults:
        """Faults to inject."""
        return self.backend.faults

    @property
    def clock(self) -> Clock:
        """The server's time."""
        return self.backend.clock

    @property
    def requests(self) -> list[LoggedRequest]:
        """Every call so far."""
        return self.backend.requests

    @property
    def runs(self) -> list[dict[str, Any]]:
        """Every run as answers tell it, the oldest first."""
        return [run.message for run in self.backend.runs.values()]

    @property
    def recurring_runs(self) -> list[dict[str, Any]]:
        """Every recurring run as answers tell it, the oldest first."""
        return [one.message for one in self.backend.recurring_runs.values()]

    def finish(self, run: str, state: State = "SUCCEEDED", error: str = "") -> None:
        """End a run that nothing executes.

        Args:
            run: Its id.
            state: SUCCEEDED, FAILED or CANCELLED.
            error: Why it failed.
        """
        self.report(run, Event((), state, error=error))

    def report(self, run: str, event: Event) -> None:
        """Let something happen in a run that nothing executes.

        Args:
            run: Its id.
            event: What happens; "exit code 13" in its error becomes the container's exit code.

        Raises:
            KeyError: there is no such run.
        """
        if run not in self.backend.runs:
            raise KeyError(run)
        runs.report(self.backend, run, event)

    def environment(self) -> dict[str, str]:
        """The variables that lead clients to this server."""
        return {"KF_PIPELINES_ENDPOINT": self.url}


@contextmanager
def local_kubeflow(folder: Path, execute: bool = False) -> Iterator[LocalKubeflow]:
    """Run a local Kubeflow Pipelines.

    Args:
        folder: For its files.
        execute: Run pipelines for real.

    Yields:
        The running server.
    """
    kubeflow = LocalKubeflow(folder, execute)
    try:
        yield kubeflow
    finally:
        kubeflow.close()
