"""The process of one run: ``python -m tests.kubeflow.execution.run_process FOLDER``.

Its standard output is the events, one line each; what else it prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from tests.kubeflow.execution.kubeflow_runner import KubeflowRunner
from tests.kubeflow.execution.placeholders import fill_in
from tests.vertex.execution.events import to_line
from tests.vertex.execution.pipeline_job import PipelineJob, with_types, without_waiting
from tests.vertex.runner_protocol import Event


def main(folder: Path) -> None:
    """Run what ``folder/run.json`` says."""
    content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    os.chdir(folder)
    try:
        variables = _pod_variables(content["platform"], content["run"]["run_id"])
        job = _job(content["run"], content["spec"], folder, variables)
        last = KubeflowRunner(job, folder, _print).run_job()
    except Exception as error:  # noqa: BLE001  the run failed, whatever it was
        traceback.print_exc()
        last = Event((), "FAILED", error=f"{type(error).__name__}: {error}")
    _print(last)


def _pod_variables(platform: dict[str, Any], run_id: str) -> dict[str, str]:
    """Fills in what tasks ask of their pods; a pod's labels name its run."""
    fields = {"metadata.labels['pipeline/runid']": run_id}
    kubernetes = platform.get("platforms", {}).get("kubernetes", {})
    executors = kubernetes.get("deploymentSpec", {}).get("executors", {}).values()
    asked = [one for executor in executors for one in executor.get("fieldPathAsEnv", [])]
    return {one["name"]: fields[one["fieldPath"]] for one in asked}


def _job(
    run: dict[str, Any], spec: dict[str, Any], folder: Path, variables: dict[str, str]
) -> PipelineJob:
    identifier, name = run["run_id"], spec["pipelineInfo"]["name"]
    values = {
        "pipeline_job_name": run["display_name"],
        "pipeline_job_resource_name": name,
        "pipeline_job_uuid": identifier,
        "pipeline_job_create_time_utc": run["created_at"],
        "pipeline_job_schedule_time_utc": run["scheduled_at"],
    }
    proto = json_format.ParseDict(
        without_waiting(fill_in(spec, values)), pipeline_spec_pb2.PipelineSpec()
    )
    runtime = run.get("runtime_config") or {}
    return PipelineJob(
        name=identifier,
        job_id=identifier,
        # Without a root of its own a run's files are in the cluster's storage.
        root=runtime.get("pipeline_root") or str(folder.parent / "storage"),
        labels={},
        spec=proto,
        arguments=with_types(runtime.get("parameters") or {}, proto),
        # The runner makes the folders of a run's files out of it.
        environment={"CLOUD_ML_PROJECT_ID": name, "CLOUD_ML_JOB_ID": identifier, **variables},
    )


def _print(event: Event) -> None:
    # kfp.local's own output is redirected while it runs; this is the process's.
    assert sys.__stdout__ is not None
    sys.__stdout__.write(to_line(event) + "\n")
    sys.__stdout__.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
