"""Placeholders of a task's inputs and outputs that kfp.local knows not, or takes otherwise."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

Resolve = Callable[[dict[str, Any], str], str]


_PATH = re.compile(r"\{\{\$\.(inputs|outputs)\.artifacts\['+([^']+)'+\]\.path\}\}")
_ESCAPED = re.compile(r"\{\{\$(?P<what>(?:\.[^{}]*?)?)\.json_escape\[(?P<levels>\d)\]\}\}")


def resolve(
    executor_input: dict[str, Any], text: str, mounted: Callable[[str], str], others: Resolve
) -> str:
    """Fills in the placeholders of a command's element.

    Args:
        executor_input: The task's inputs and outputs.
        text: The element.
        mounted: Turns a gs:// URI into the path where a task finds it.
        others: kfp.local's own function, for all other placeholders.

    Returns:
        The element with values.
    """

    def path(found: re.Match[str]) -> str:
        artifacts = executor_input[found[1]]["artifacts"][found[2]]["artifacts"]
        return mounted(artifacts[0]["uri"])

    def escaped(found: re.Match[str]) -> str:
        # The value becomes part of a string within JSON, which may be in a string itself.
        what = found["what"]
        value = others(executor_input, f"{{{{${what}}}}}") if what else json.dumps(executor_input)
        for _ in range(int(found["levels"])):
            value = json.dumps(value)[1:-1]
        return value

    filled = others(executor_input, _ESCAPED.sub(escaped, _PATH.sub(path, text)))
    # The values of inputs may hold this placeholder too: GCPC writes such defaults.
    return _ESCAPED.sub(escaped, filled)


def with_integers(value: Any) -> Any:
    """Writes whole numbers as Vertex AI does: 1, where Python's protobuf has 1.0, at any depth."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [with_integers(item) for item in value]
    if isinstance(value, dict):
        return {name: with_integers(item) for name, item in value.items()}
    return value
