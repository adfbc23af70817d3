"""The command ``submit`` of a pipeline of one's own: sends it to Vertex AI or to Kubeflow."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kfp_llm_tuning.components.common.documents import parse_yaml
from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.platforms import KUBEFLOW
from kfp_llm_tuning.pipelines.commands.place_options import place_options
from kfp_llm_tuning.pipelines.commands.platform_options import (
    cluster_options,
    platform_option,
    refuse_others,
)

if TYPE_CHECKING:
    from kfp_llm_tuning.pipelines.jobs.services import SubmittedJob
    from kfp_llm_tuning.pipelines.kubeflow.connection import Connection

_CLUSTER = ("host", "namespace", "token", "ca_file", "kube_context")
_VERTEX_ONLY = frozenset({"region", "api_endpoint", "service_account"})


@dataclass(frozen=True)
class Submission:
    """What is sent.

    Attributes:
        name: The pipeline's name.
        text: The compiled pipeline.
        arguments: Values of its inputs.
        pipeline_root: Where its outputs go; empty for the cluster's own.
    """

    name: str
    text: str
    arguments: Mapping[str, Any]
    pipeline_root: str

    @property
    def job_id(self) -> str:
        """A name that no other run has."""
        return f"{self.name}-{datetime.now(UTC):%Y%m%d%H%M%S%f}"


def submission_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that say where a pipeline is sent.

    Args:
        command: Takes ``platform``, ``project``, ``pipeline_root`` and, as ``place``, the rest.

    Returns:
        The command with the options.
    """
    for option in (
        click.option("--service-account", default="", help="Account that runs it on Vertex AI."),
        click.option(
            "--experiment", default="", help="Experiment on Kubeflow.  [default: Default]"
        ),
        click.option("--pipeline-root", default="", help="Folder, a URI, of all outputs."),
        cluster_options,
        place_options,
        platform_option,
    ):
        command = option(command)
    return command


def send(
    submission: Submission, platform: str, project: str, place: Mapping[str, Any]
) -> SubmittedJob:
    """Starts a run.

    Args:
        submission: What is sent.
        platform: Where to.
        project: On Vertex AI.
        place: The values of the other options.

    Returns:
        The run.

    Raises:
        UserError: If something is missing, or if the platform refuses.
    """
    refuse_others(platform, _VERTEX_ONLY)
    if platform == KUBEFLOW.name:
        from kfp_llm_tuning.pipelines.kubeflow.connection import Connection

        connection = Connection(**{name: place[name] for name in _CLUSTER})
        return _send_to_kubeflow(submission, connection, place["experiment"])
    if not submission.pipeline_root:
        raise UserError(Problem("a folder is needed.", "--pipeline-root", "gs://BUCKET/FOLDER"))
    return _send_to_vertex(submission, project, place)


def _send_to_kubeflow(
    submission: Submission, connection: Connection, experiment: str
) -> SubmittedJob:
    from kfp_llm_tuning.pipelines.jobs.services import SubmittedJob
    from kfp_llm_tuning.pipelines.kubeflow.api_errors import explained
    from kfp_llm_tuning.pipelines.kubeflow.run_view import run_url

    api = connection.open()
    with tempfile.TemporaryDirectory() as folder, explained("start the run"):
        package = Path(folder) / "pipeline.yaml"
        package.write_text(submission.text, encoding="utf-8")
        run = api.client.create_run_from_pipeline_package(
            str(package),
            arguments=dict(submission.arguments),
            run_name=submission.job_id,
            experiment_name=experiment or None,
            pipeline_root=submission.pipeline_root or None,
            **api.namespaced,
        )
    return SubmittedJob(run.run_id, run_url(api.ui, run.run_id))


def _send_to_vertex(submission: Submission, project: str, place: Mapping[str, Any]) -> SubmittedJob:
    from kfp_llm_tuning.pipelines.jobs.services import SubmittedJob
    from kfp_llm_tuning.pipelines.vertex import jobs
    from kfp_llm_tuning.pipelines.vertex.job_view import console_url
    from kfp_llm_tuning.pipelines.vertex.place import vertex_at

    job_id = submission.job_id
    body = {
        "displayName": submission.name,
        "pipelineSpec": parse_yaml(submission.text, submission.name),
        "runtimeConfig": {
            "gcsOutputDirectory": submission.pipeline_root,
            "parameterValues": dict(submission.arguments),
        },
    }
    if account := place["service_account"]:
        body["serviceAccount"] = account
    sent = jobs.create(vertex_at(project, place["region"], place["api_endpoint"]), job_id, body)
    return SubmittedJob(sent.name, console_url(sent.name))
