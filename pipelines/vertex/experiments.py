"""Puts a pipeline's run into a Vertex AI experiment, where runs are compared."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.vertex import ONCE, READ, Vertex, ensure, found_or_none
from kfp_llm_tuning.components.common.vertex_errors import explained
from kfp_llm_tuning.pipelines.vertex import jobs

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1 import MetadataServiceClient

# As the SDK writes experiments, so that it and the console find them.
_SCHEMA_TITLE = "system.Experiment"
_SCHEMA_VERSION = "0.0.1"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")
# Seconds. The run's context appears soon after the job.
_CONTEXT_TIMEOUT = 120.0
_CONTEXT_POLL = 1.0


def check_name(experiment: str) -> None:
    """Checks an experiment's name before anything is sent.

    Args:
        experiment: The name; empty for none.

    Raises:
        UserError: If no experiment can be called that.
    """
    if experiment and not _NAME.fullmatch(experiment):
        allowed = "lower-case letters, digits and hyphens, no hyphen first, at most 128"
        raise UserError(Problem(f"{experiment!r} names no experiment.", "--experiment", allowed))


def add_run(vertex: Vertex, experiment: str, job: str) -> None:
    """Makes a run part of an experiment; an experiment that is not there is made.

    Args:
        vertex: Where.
        experiment: The experiment's name.
        job: Full resource name of the run's job.

    Raises:
        UserError: If Vertex AI refuses; the job goes on all the same.
    """
    from google.cloud.aiplatform_v1 import MetadataServiceClient

    client = vertex.client(MetadataServiceClient)
    context = _ensure_experiment(client, vertex, experiment)
    run = _run_context(vertex, job)
    with explained(f"add the run to the experiment {experiment}", "--experiment"):
        client.add_context_children(context=context, child_contexts=[run], **READ)


def _ensure_experiment(client: MetadataServiceClient, vertex: Vertex, experiment: str) -> str:
    from google.cloud.aiplatform_v1.types import Context

    store = f"{vertex.parent}/metadataStores/default"
    name = f"{store}/contexts/{experiment}"
    context = Context(
        display_name=experiment,
        schema_title=_SCHEMA_TITLE,
        schema_version=_SCHEMA_VERSION,
        metadata={"experiment_deleted": False},
    )
    ensure(
        find=lambda: found_or_none(lambda: client.get_context(name=name, **ONCE)),
        make=lambda: client.create_context(
            parent=store, context=context, context_id=experiment, **ONCE
        ),
        doing=f"make the experiment {experiment}",
        where="--experiment",
    )
    return name


def _run_context(vertex: Vertex, job: str) -> str:
    deadline = time.monotonic() + _CONTEXT_TIMEOUT
    while True:
        found = jobs.find(vertex, job)
        if name := found.job_detail.pipeline_run_context.name:
            return str(name)
        if time.monotonic() > deadline or found.end_time:
            what = "the run was started, but has no context that could be part of an experiment."
            raise UserError(Problem(what, "--experiment"))
        time.sleep(_CONTEXT_POLL)
