"""What runs leave in the metadata store: contexts with executions and artifacts as members."""

from __future__ import annotations

from typing import Any

from google.cloud import aiplatform_v1

from tests.vertex.backend import Backend, Call
from tests.vertex.services import generic
from tests.vertex.services.task_details import metadata_store

Context = aiplatform_v1.Context.pb()
MetadataStore = aiplatform_v1.MetadataStore.pb()


def add_run_contexts(call: Call, name: str, job: Any) -> None:
    """Make the contexts of a pipeline and of its run, and note them in the job.

    Args:
        call: The call that creates the job.
        name: The job's name.
        job: The job.
    """
    store_name = metadata_store(name)
    if store_name not in call.store:
        generic.add(call, store_name, MetadataStore())
    pipeline = job.pipeline_spec["pipelineInfo"]["name"]
    pipeline_context = _context(call, f"{store_name}/contexts/{pipeline}", "system.Pipeline", [])
    run_context = _context(
        call,
        f"{store_name}/contexts/{name.rsplit('/', 1)[-1]}",
        "system.PipelineRun",
        [pipeline_context.name],
    )
    job.job_detail.pipeline_context.CopyFrom(pipeline_context)
    job.job_detail.pipeline_run_context.CopyFrom(run_context)


def note_task(backend: Backend, job: Any, detail: Any) -> None:
    """Store a task's execution and artifacts, as members of the run's context."""
    context = job.job_detail.pipeline_run_context.name
    members = backend.context_members.setdefault(context, set())
    artifacts = [
        artifact
        for group in (detail.inputs, detail.outputs)
        for item in group.values()
        for artifact in item.artifacts
    ]
    for resource in (detail.execution, *artifacts):
        backend.store.put(resource.name, resource)
        members.add(resource.name)


def _context(call: Call, name: str, schema: str, parents: list[str]) -> Any:
    if name not in call.store:
        context = Context(
            display_name=name.rsplit("/", 1)[-1],
            schema_title=schema,
            schema_version="0.0.1",
            parent_contexts=parents,
        )
        generic.add(call, name, context)
    return call.store[name]
