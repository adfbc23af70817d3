"""MetadataService: contexts with members and parents, executions and their events."""

from __future__ import annotations

from typing import Any

from google.cloud import aiplatform_v1
from google.protobuf.message import Message

from tests.vertex import errors
from tests.vertex.backend import Call, handles
from tests.vertex.services import checks, generic, paging

Artifact = aiplatform_v1.Artifact.pb()
Context = aiplatform_v1.Context.pb()
Execution = aiplatform_v1.Execution.pb()
LineageSubgraph = aiplatform_v1.LineageSubgraph.pb()


@handles("MetadataService.CreateMetadataStore")
def create_store(call: Call, request: Any) -> Message:
    """Make the metadata store of a region; there is only one, called default."""
    if request.metadata_store_id not in ("", "default"):
        raise errors.invalid("The only metadata_store_id is default.")
    request.metadata_store_id = "default"
    return generic.create(call, request)


@handles(
    "MetadataService.ListArtifacts",
    "MetadataService.ListExecutions",
    "MetadataService.ListContexts",
)
def list_resources(call: Call, request: Any) -> Message:
    """List with the filters of the metadata service."""
    checks.check_parent(call, request.parent)
    collection, kind = {
        "ListArtifacts": ("artifacts", Artifact),
        "ListExecutions": ("executions", Execution),
        "ListContexts": ("contexts", Context),
    }[call.method.name]
    found = call.store.children(request.parent, collection, kind)
    members = call.backend.context_members
    canonical = call.backend.project_facts.canonical_name

    def in_context(context: str, resource: Any) -> bool:
        return resource.name in members.get(canonical(context), set())

    return paging.page(call, request, found, functions={"in_context": in_context})


@handles(
    "MetadataService.UpdateArtifact",
    "MetadataService.UpdateExecution",
    "MetadataService.UpdateContext",
)
def update_resource(call: Call, request: Any) -> Message:
    """Change a resource, or with allow_missing make it."""
    resource = getattr(request, call.method.name.removeprefix("Update").lower())
    if request.allow_missing and resource.name not in call.store:
        checks.check_parent(call, resource.name.rsplit("/", 2)[0])
        generic.add(call, resource.name, resource)
        return call.store[resource.name]
    return generic.update(call, request)


@handles("MetadataService.AddContextArtifactsAndExecutions")
def add_members(call: Call, request: Any) -> Message:
    """Put artifacts and executions into a context."""
    context = call.store.fetch(request.context, Context)
    names = [call.store.fetch(name, Artifact).name for name in request.artifacts]
    names += [call.store.fetch(name, Execution).name for name in request.executions]
    call.backend.context_members.setdefault(context.name, set()).update(names)
    return call.method.response()


@handles("MetadataService.AddContextChildren")
def add_children(call: Call, request: Any) -> Message:
    """Make contexts children of another."""
    parent = call.store.fetch(request.context, Context)
    for name in request.child_contexts:
        child = call.store.fetch(name, Context)
        if parent.name not in child.parent_contexts:
            child.parent_contexts.append(parent.name)
            call.store.put(name, child)  # the etag stays, as clients expect
    return call.method.response()


@handles("MetadataService.RemoveContextChildren")
def remove_children(call: Call, request: Any) -> Message:
    """Take contexts away from their parent."""
    parent = call.store.fetch(request.context, Context)
    for name in request.child_contexts:
        child = call.store.fetch(name, Context)
        kept = [known for known in child.parent_contexts if known != parent.name]
        child.ClearField("parent_contexts")
        child.parent_contexts.extend(kept)
        call.store.put(name, child)
    return call.method.response()


@handles("MetadataService.AddExecutionEvents")
def add_events(call: Call, request: Any) -> Message:
    """Note which artifacts an execution read and wrote."""
    execution = call.store.fetch(request.execution, Execution)
    events = call.backend.execution_events.setdefault(execution.name, [])
    for event in request.events:
        event.artifact = call.store.fetch(event.artifact, Artifact).name
        event.execution = execution.name
        event.event_time.CopyFrom(call.backend.clock.timestamp())
        events.append(event)
    return call.method.response()


@handles("MetadataService.QueryExecutionInputsAndOutputs")
def query_execution(call: Call, request: Any) -> Message:
    """Give an execution with its events and their artifacts."""
    execution = call.store.fetch(request.execution, Execution)
    return _subgraph(call, [execution])


@handles("MetadataService.QueryContextLineageSubgraph")
def query_context(call: Call, request: Any) -> Message:
    """Give all that is in a context."""
    context = call.store.fetch(request.context, Context)
    names = sorted(call.backend.context_members.get(context.name, set()))
    members = [call.store[name] for name in names if name in call.store]
    graph = _subgraph(call, [item for item in members if isinstance(item, Execution)])
    known = {artifact.name for artifact in graph.artifacts}
    graph.artifacts.extend(
        item for item in members if isinstance(item, Artifact) and item.name not in known
    )
    return graph


def _subgraph(call: Call, executions: list[Any]) -> Any:
    events = [
        event
        for execution in executions
        for event in call.backend.execution_events.get(execution.name, [])
    ]
    names = dict.fromkeys(event.artifact for event in events)
    artifacts = [call.store[name] for name in names if name in call.store]
    return LineageSubgraph(executions=executions, events=events, artifacts=artifacts)
