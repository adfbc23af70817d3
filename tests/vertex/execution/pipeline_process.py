"""The process of one PipelineJob: ``python -m tests.vertex.execution.pipeline_process FOLDER``.

Its standard output is the events, one line each; what else it prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

from tests.vertex.execution.events import to_line
from tests.vertex.execution.pipeline_job import PipelineJob
from tests.vertex.execution.vertex_runner import VertexRunner
from tests.vertex.runner_protocol import Event


def main(folder: Path) -> None:
    """Runs the job of ``folder/job.json``."""
    body = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    job = PipelineJob.from_body(body)
    os.chdir(folder)
    runner = VertexRunner(job, folder, _print)
    try:
        last = runner.run_job()
    except Exception as error:  # noqa: BLE001  the job failed, whatever it was
        traceback.print_exc()
        last = Event((), "FAILED", error=f"{type(error).__name__}: {error}")
    _print(last)


def _print(event: Event) -> None:
    # kfp.local's own output is redirected while it runs; this is the process's.
    assert sys.__stdout__ is not None
    sys.__stdout__.write(to_line(event) + "\n")
    sys.__stdout__.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
