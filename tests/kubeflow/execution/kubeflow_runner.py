"""kfp.local made to execute a run as Kubeflow Pipelines does."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from unittest.mock import patch

from kfp import dsl
from kfp.local import placeholder_utils

from tests.vertex.execution.pipeline_job import PipelineJob
from tests.vertex.execution.vertex_runner import VertexRunner
from tests.vertex.redirect.sitecustomize import STORAGE_FOLDER_VARIABLE
from tests.vertex.runner_protocol import Report

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
