"""Starts the process in which a run's tasks are executed."""

from __future__ import annotations

import json
from pathlib import Path

from tests.kubeflow.backend import Run
from tests.vertex.execution.pipeline import PipelineRun
from tests.vertex.runner_protocol import Report


def start_run(run: Run, folder: Path, report: Report) -> PipelineRun:
    """Run a run.

    Args:
        run: The run.
        folder: For its files.
        report: Takes the events; may be called from any thread.

    Returns:
        The process, to be cancelled or waited for.
    """
    folder.mkdir(parents=True)
    content = {"run": run.message, "spec": run.package.spec, "platform": run.package.platform}
    (folder / "run.json").write_text(json.dumps(content), encoding="utf-8")
    return PipelineRun(folder, {}, report, module="tests.kubeflow.execution.run_process")
