"""Mends what kfp.local 2.17 gets wrong, so that a pipeline does here what it does on a cluster.

Four of its functions are replaced while a pipeline runs: the one that looks up the value of a
condition, which overlooks most; the one that gives a loop's tasks their inputs, which mistakes
most; the one that gives a nested pipeline its inputs, which takes strangers' of the same name; and
the one that reads a task's outputs, which loses the artifacts of container components.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any
from unittest.mock import patch

from kfp_llm_tuning.pipelines.local_runs.task_containers import with_artifacts


@contextlib.contextmanager
def repaired() -> Iterator[None]:
    """Replaces the functions.

    Yields:
        Once, while they are replaced.
    """
    from kfp.local import executor_output_utils
    from kfp.local.orchestrator import task_spec_utils
    from kfp.local.orchestrator.enhanced_dag_orchestrator import ConditionEvaluator

    iterate = task_spec_utils.create_parameter_loop_iteration_task_spec
    nest = task_spec_utils.build_nested_dag_arguments
    read = executor_output_utils.get_outputs_for_task
    with (
        patch.object(ConditionEvaluator, "_resolve_pipeline_channel", _channel_value),
        patch.object(
            task_spec_utils,
            "create_parameter_loop_iteration_task_spec",
            lambda *arguments: _with_own_inputs(iterate(*arguments), arguments[0]),
        ),
        patch.object(
            task_spec_utils,
            "build_nested_dag_arguments",
            lambda **keywords: _without_namesakes(nest(**keywords), **keywords),
        ),
        patch.object(
            executor_output_utils,
            "get_outputs_for_task",
            lambda **keywords: with_artifacts(read(**keywords), keywords["executor_input"]),
        ),
    ):
        yield


def _channel_value(channel: str, io_store: Any) -> Any:
    """Finds the value of ``pipelinechannel--TASK-OUTPUT`` or of a pipeline's own input.

    kfp.local 2.17 finds an output only if its name is ``Output``: for any other it takes the whole
    for an input, and a condition on it never holds.
    """
    name = channel.removeprefix("pipelinechannel--")
    for place in [index for index, letter in enumerate(name) if letter == "-"]:
        with contextlib.suppress(ValueError, KeyError):
            return io_store.get_task_output(name[:place], name[place + 1 :])
    for key in (name, channel):
        with contextlib.suppress(ValueError, KeyError):
            return io_store.get_parent_input(key)
    return None


def _with_own_inputs(iteration: Any, loop: Any) -> Any:
    """Gives an iteration what the loop is given of tasks outside of it.

    kfp.local 2.17 puts the loop's item in the place of every such parameter.
    """
    for name, given in loop.inputs.parameters.items():
        if given.HasField("task_output_parameter"):
            iteration.inputs.parameters[name].CopyFrom(given)
    return iteration


def _without_namesakes(
    arguments: Mapping[str, Any], task_spec: Any, component_spec: Any, **_: Any
) -> dict[str, Any]:
    """Leaves to its default what a nested pipeline is not given.

    kfp.local 2.17 takes the value of an input of the same name that some pipeline around it has.
    """
    given = task_spec.inputs.parameters
    inputs = component_spec.input_definitions.parameters
    return {
        name: value
        for name, value in arguments.items()
        if name in given or name not in inputs or not inputs[name].is_optional
    }
