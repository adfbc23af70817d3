"""What stands in a compiled pipeline spec, for those who look before it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class Constant(NamedTuple):
    """A value that was compiled in."""

    task: str
    input: str
    value: Any


def containers(spec: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Finds the containers of a spec's tasks.

    Args:
        spec: The pipeline spec.

    Returns:
        Each container by its task, as the executor is called; those that only mark what the
        backend does itself are left out.
    """
    executors = spec.get("deploymentSpec", {}).get("executors", {})
    return {
        label.removeprefix("exec-"): executor["container"]
        for label, executor in executors.items()
        if not executor.get("container", {}).get("image", "argostub/").startswith("argostub/")
    }


def constants(spec: Mapping[str, Any]) -> Iterator[Constant]:
    """Finds the inputs of tasks whose value was compiled in.

    Args:
        spec: The pipeline spec.

    Yields:
        Task, input and value.
    """
    for component in (spec.get("root", {}), *spec.get("components", {}).values()):
        for name, task in component.get("dag", {}).get("tasks", {}).items():
            for parameter, given in task.get("inputs", {}).get("parameters", {}).items():
                value = given.get("runtimeValue", {}).get("constant")
                if value is not None:
                    yield Constant(name, parameter, value)
