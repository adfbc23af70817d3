"""The placeholders of a run, filled in where Kubeflow's driver does it and nowhere else."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any


def fill_in(spec: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    """Fill in the placeholders of a run.

    The driver replaces a task's input that is a placeholder and nothing else: one in the middle of
    a text stays as it is, other than on Vertex AI, and so does one in a container's command.

    Args:
        spec: The pipeline.
        values: Of the placeholders, such as pipeline_job_uuid.

    Returns:
        A copy with the values in their place.
    """
    filled: dict[str, Any] = copy.deepcopy(dict(spec))
    texts = {"{{$." + name + "}}": value for name, value in values.items()}
    for component in (filled["root"], *filled.get("components", {}).values()):
        for task in component.get("dag", {}).get("tasks", {}).values():
            for parameter in task.get("inputs", {}).get("parameters", {}).values():
                constant = parameter.get("runtimeValue", {}).get("constant")
                if isinstance(constant, str) and constant in texts:
                    parameter["runtimeValue"]["constant"] = texts[constant]
    return filled
