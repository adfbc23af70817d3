"""Starts the process in which a PipelineJob runs, and passes its events on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.vertex.execution.events import from_line
from tests.vertex.execution.processes import end_tree, last_lines
from tests.vertex.runner_protocol import Event, Report

_REPOSITORY = Path(__file__).parents[3]
# How long tasks may take to end after a cancellation before they are killed.
_PATIENCE_SECONDS = 20.0


def start_pipeline(
    job: dict[str, Any], environment: Mapping[str, str], folder: Path, report: Report
) -> PipelineRun:
    """Runs a PipelineJob; see `Runner` in runner_protocol.py."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    return PipelineRun(folder, environment, report)


class PipelineRun:
    """A PipelineJob in a process of its own: kfp.local keeps its state in globals."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        report: Report,
        module: str = "tests.vertex.execution.pipeline_process",
    ) -> None:
        """Starts the process.

        Args:
            folder: Holds job.json.
            environment: Redirects the process to the local Vertex AI.
            report: Takes the events.
            module: What runs in it, given the folder; its standard output is the events.
        """
        self._log = folder / "process.log"
        self._report = report
        self._cancelled = False
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, str(folder)],
                cwd=_REPOSITORY,
                env={**os.environ, **environment},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Asks the tasks to end; what has not ended in time is killed."""
        if not self._cancelled and self._process.poll() is None:
            self._cancelled = True
            self._process.terminate()
            threading.Thread(target=self._kill_in_the_end, daemon=True).start()

    def wait(self, timeout: float | None = None) -> bool:
        """Waits for the last event."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _kill_in_the_end(self) -> None:
        if not self.wait(_PATIENCE_SECONDS):
            end_tree(self._process, patience_seconds=0)

    def _follow(self) -> None:
        self._report(Event((), "RUNNING"))
        last: Event | None = None
        assert self._process.stdout is not None
        with self._process.stdout:
            for line in self._process.stdout:
                last = from_line(line)
                if last.path:
                    self._report(last)
        self._process.wait()
        if last is not None and not last.path:
            self._report(last)
        elif self._cancelled:
            self._report(Event((), "CANCELLED"))
        else:
            self._report(Event((), "FAILED", error=last_lines(self._log)))
