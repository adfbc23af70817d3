"""Inputs and outputs of tasks as kfp.local has them, and as events tell them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfp import dsl
from kfp.local import executor_output_utils

from tests.vertex.runner_protocol import Artifact


def outputs_written_or_not(executor_input: Any, component_spec: Any) -> dict[str, Any]:
    """Reads what a task wrote.

    A container need not describe its artifacts: they are where it was told to write them.

    Args:
        executor_input: The task's inputs and outputs.
        component_spec: Its component.

    Returns:
        Parameter values and artifacts by name.
    """
    output = executor_output_utils.load_executor_output(executor_input.outputs.output_file)
    for name, artifacts in executor_input.outputs.artifacts.items():
        if name not in output.artifacts:
            output.artifacts[name].CopyFrom(artifacts)
    outputs: dict[str, Any] = executor_output_utils.get_outputs_from_executor_output(
        executor_output=output, executor_input=executor_input, component_spec=component_spec
    )
    return outputs


def split(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, list[Artifact]]]:
    """Tells parameters and artifacts apart.

    Args:
        values: kfp.local's values of inputs or outputs.

    Returns:
        Parameter values by name, and artifacts by name.
    """
    parameters: dict[str, Any] = {}
    artifacts: dict[str, list[Artifact]] = {}
    for name, value in values.items():
        several = value if isinstance(value, list) else [value]
        if several and all(isinstance(item, dsl.Artifact) for item in several):
            artifacts[name] = [
                Artifact(item.uri, item.schema_title, dict(item.metadata)) for item in several
            ]
        else:
            parameters[name] = value
    return parameters, artifacts
