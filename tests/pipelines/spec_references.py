"""Checks that every name in a compiled pipeline stands for something, and that types agree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineDeploymentConfig, PipelineSpec

# The inputs by which kfp gives a task resources that another task settles.
_RESOURCES = frozenset({"accelerator_count", "cpu_request", "memory_request"})


def parse_strictly(spec: dict[str, Any]) -> PipelineSpec:
    """Parses a spec and its executors; an unknown field or a wrong type raises ParseError."""
    for executor in spec["deploymentSpec"]["executors"].values():
        json_format.ParseDict(executor, PipelineDeploymentConfig.ExecutorSpec())
    return json_format.ParseDict(spec, PipelineSpec())


def broken_references(spec: dict[str, Any]) -> list[str]:
    """Lists every reference to nothing, and every value given to an input of another type."""
    executors = spec["deploymentSpec"]["executors"]
    found: list[str] = []
    for name, component in {"root": spec["root"], **spec["components"]}.items():
        if "dag" in component:
            found += [f"{name}: {text}" for text in _broken_in(component, spec["components"])]
        elif component["executorLabel"] not in executors:
            found.append(f"{name}: no executor {component['executorLabel']}")
    return found


def _broken_in(component: dict[str, Any], components: dict[str, Any]) -> Iterator[str]:
    tasks = component["dag"]["tasks"]
    for name, task in tasks.items():
        for other in task.get("dependentTasks", []):
            if other not in tasks:
                yield f"{name} depends on no task {other}"
        called = components.get(task["componentRef"]["name"])
        if called is None:
            yield f"{name} calls no component {task['componentRef']['name']}"
            continue
        for kind in ("parameters", "artifacts"):
            yield from _broken_inputs(name, task, called, component, components, kind)
    for kind in ("parameters", "artifacts"):
        yield from _broken_outputs(component, components, kind)


def _broken_inputs(
    name: str,
    task: dict[str, Any],
    called: dict[str, Any],
    component: dict[str, Any],
    components: dict[str, Any],
    kind: str,
) -> Iterator[str]:
    expected = _definitions(called, "inputDefinitions", kind)
    given = task.get("inputs", {}).get(kind, {})
    item = task.get("parameterIterator", {}).get("itemInput")
    for key, definition in expected.items():
        if (
            key not in (item, *given)
            and not definition.get("isOptional")
            and "defaultValue" not in definition
        ):
            yield f"{name} lacks its input {key}"
    for key, source in given.items():
        if key not in expected:
            # A condition and a task's resources read values that the component does not take.
            if not key.startswith("pipelinechannel--") and key not in _RESOURCES:
                yield f"{name} is given an unknown input {key}"
            continue
        if "runtimeValue" in source:
            continue
        producer = _producer(source, component, components, kind)
        if producer is None:
            yield f"{name}.{key} comes from nowhere: {source}"
        elif not _compatible(producer, expected[key]):
            yield f"{name}.{key} is {expected[key]}, and is given {producer}"


def _producer(
    source: dict[str, Any], component: dict[str, Any], components: dict[str, Any], kind: str
) -> dict[str, Any] | None:
    outer = source.get("componentInputParameter") or source.get("componentInputArtifact")
    if outer is not None:
        return _definitions(component, "inputDefinitions", kind).get(outer)
    if "taskFinalStatus" in source:
        status = source["taskFinalStatus"]["producerTask"] in component["dag"]["tasks"]
        return {"parameterType": "TASK_FINAL_STATUS"} if status else None
    output = source.get("taskOutputParameter") or source["taskOutputArtifact"]
    key = output.get("outputParameterKey") or output["outputArtifactKey"]
    return _output(component, components, output["producerTask"], key, kind)


def _output(
    component: dict[str, Any], components: dict[str, Any], task: str, key: str, kind: str
) -> dict[str, Any] | None:
    found = component["dag"]["tasks"].get(task)
    if found is None:
        return None
    called = components.get(found["componentRef"]["name"], {})
    return _definitions(called, "outputDefinitions", kind).get(key)


def _broken_outputs(
    component: dict[str, Any], components: dict[str, Any], kind: str
) -> Iterator[str]:
    outputs = component["dag"].get("outputs", {}).get(kind, {})
    declared = _definitions(component, "outputDefinitions", kind)
    for key in declared.keys() ^ outputs.keys():
        yield f"the output {key} is not both declared and produced"
    for key, output in outputs.items():
        # A value of whichever branch was taken; of one task; artifacts of one task or a loop's.
        branches = output.get("valueFromOneof", {}).get("parameterSelectors")
        selectors = output.get("artifactSelectors") or branches or [output["valueFromParameter"]]
        for selector in selectors:
            inner = selector.get("outputParameterKey") or selector["outputArtifactKey"]
            producer = _output(component, components, selector["producerSubtask"], inner, kind)
            if producer is None or not _compatible(producer, declared[key]):
                yield f"the output {key} comes from {producer}"


def _definitions(component: dict[str, Any], side: str, kind: str) -> dict[str, Any]:
    return component.get(side, {}).get(kind, {})


def _compatible(producer: dict[str, Any], consumer: dict[str, Any]) -> bool:
    if "parameterType" in consumer:
        return bool(producer.get("parameterType") == consumer["parameterType"])
    taken, given = (side["artifactType"]["schemaTitle"] for side in (consumer, producer))
    return taken in (given, "system.Artifact") or given == "system.Artifact"
