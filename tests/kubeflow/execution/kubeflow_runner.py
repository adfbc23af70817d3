"""kfp.local made to execute a run as Kubeflow Pipelines does."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from unittest.mock import patch

from kfp import dsl
from kfp.local import placeholder_utils

from tests.vertex.execution.pipeline_job import PipelineJob
from tests.vertex.execution.vertex_runner import VertexRunner
from tests.vertex.images import pull_error, start_error
from tests.vertex.redirect.sitecustomize import STORAGE_FOLDER_VARIABLE
from tests.vertex.runner_protocol import Event, Report, TaskPath

# What the tasks of Vertex AI find in their environment, and those of a cluster do not.
_VERTEX_VARIABLES = (
    "CLOUD_ML_JOB_ID",
    "CLOUD_ML_PROJECT_ID",
    "GOOGLE_CLOUD_PROJECT",
    "VERTEX_AI_PIPELINES_RUN_LABELS",
    STORAGE_FOLDER_VARIABLE,
)
_TASK_PLACEHOLDERS = (dsl.PIPELINE_TASK_NAME_PLACEHOLDER, dsl.PIPELINE_TASK_ID_PLACEHOLDER)
# What kfp.local would fill in, and the driver, which has replaced what it knows, leaves. Without
# braces, for kfp.local takes what it does not know for an input.
_PLACEHOLDERS = {
    "pipeline_resource_name": dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
    "pipeline_job_id": dsl.PIPELINE_JOB_ID_PLACEHOLDER,
    "pipeline_root": dsl.PIPELINE_ROOT_PLACEHOLDER,
    "task_resource_name": dsl.PIPELINE_TASK_NAME_PLACEHOLDER,
    "pipeline_task_id": dsl.PIPELINE_TASK_ID_PLACEHOLDER,
}
_MARKS = {name: f"<<{name}>>" for name in _PLACEHOLDERS}


class KubeflowRunner(VertexRunner):
    """Executes one run: its artifacts are in a folder of this machine."""

    def __init__(self, job: PipelineJob, directory: Path, report: Report) -> None:
        """Take the run, as the runner of Vertex AI's jobs has it."""
        os.environ[STORAGE_FOLDER_VARIABLE] = job.root
        super().__init__(job, directory, report)

    def _start_error(self, path: TaskPath, image: str, accelerator: str) -> str:
        """Wait, as a pod does for what does not come: until the run is terminated."""
        waits_for = pending_reason(image, accelerator)
        if waits_for:
            self._report(Event(path, "PENDING", error=waits_for))
        while waits_for and not self.interrupted:
            time.sleep(0.05)
        return waits_for or start_error(image, accelerator)

    @contextlib.contextmanager
    def _replaced_internals(self) -> Iterator[None]:
        resolve = placeholder_utils.resolve_individual_placeholder

        def resolve_as_the_driver(element: str, **values: str) -> str:
            if element in _TASK_PLACEHOLDERS:
                return str(resolve(element, **values))
            resolved = str(resolve(element, **{**values, **_MARKS}))
            for name, mark in _MARKS.items():
                resolved = resolved.replace(mark, _PLACEHOLDERS[name])
            return resolved

        with (
            super()._replaced_internals(),
            patch.object(
                placeholder_utils, "resolve_individual_placeholder", resolve_as_the_driver
            ),
        ):
            yield

    def _environment(self) -> Mapping[str, str]:
        return {
            name: value
            for name, value in super()._environment().items()
            if name not in _VERTEX_VARIABLES
        }


def pending_reason(image: str, accelerator: str) -> str:
    """What Argo says of a pod that waits for what does not come.

    Args:
        image: Its image.
        accelerator: What it asks for, such as nvidia.com/gpu; empty for none.

    Returns:
        The message; empty where the pod starts.
    """
    if "tpu" in accelerator.lower():
        return f"Unschedulable: 0/1 nodes are available: 1 Insufficient {accelerator}."
    if error := pull_error(image):
        return f'ImagePullBackOff: Back-off pulling image "{image}": ErrImagePull: {error}'
    return ""
