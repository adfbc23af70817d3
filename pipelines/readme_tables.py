"""Writes the tables of inputs and outputs in the components' READMEs; `make readme` runs it.

The tables come from the compiled interfaces, so they say what KFP sees: names, types, defaults and
the descriptions of the docstrings.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.pipelines.component_list import COMPONENTS, components_of, stages

if TYPE_CHECKING:
    from kfp.dsl.base_component import BaseComponent

_BEGIN = "<!-- interface -->"
_END = "<!-- /interface -->"
_REQUIRED = "required"


def readmes() -> list[Path]:
    """Lists the README of every folder that has components."""
    return [COMPONENTS / stage / "README.md" for stage in stages()]


def interface(stage: str) -> str:
    """Writes the tables of a folder's components.

    Args:
        stage: Name of the folder.

    Returns:
        Markdown: each component's name, what it does, its inputs and its outputs.
    """
    return "\n\n".join(_section(name, component) for name, component in components_of(stage))


def with_interface(text: str, stage: str) -> str:
    """Puts the current tables between the marks of a README.

    Args:
        text: The README.
        stage: Name of its folder.

    Returns:
        The README with the tables of now.

    Raises:
        ValueError: If the marks are missing, doubled or in the wrong order.
    """
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end) or _BEGIN in after or _END in before:
        raise ValueError(f"components/{stage}/README.md needs {_BEGIN} and {_END} once each")
    return f"{before}{_BEGIN}\n\n{interface(stage)}\n\n{_END}{after}"


def main() -> None:
    """Rewrites every README whose tables have changed."""
    for path in readmes():
        text = path.read_text(encoding="utf-8")
        current = with_interface(text, path.parent.name)
        if current != text:
            path.write_text(current, encoding="utf-8")


def _section(name: str, component: BaseComponent) -> str:
    specification = component.component_spec
    described = _described_arguments(component)
    parts = [f"### {name}", _one_line(specification.description or "")]
    if specification.inputs:
        rows = [
            (f"`{name}`", _type(value), _default(value), _one_line(value.description or ""))
            for name, value in specification.inputs.items()
        ]
        parts.append(_table(("Input", "Type", "Default", "Meaning"), rows))
    if specification.outputs:
        outputs = [
            (f"`{name}`", _type(value), _one_line(value.description or described.get(name, "")))
            for name, value in specification.outputs.items()
        ]
        parts.append(_table(("Output", "Type", "Meaning"), outputs))
    return "\n\n".join(parts)


def _described_arguments(component: BaseComponent) -> dict[str, str]:
    """Reads the arguments' descriptions: of output artifacts, KFP keeps none."""
    from docstring_parser import parse

    function = getattr(component, "python_func", None)
    parameters = parse(function.__doc__ or "").params if function else []
    return {parameter.arg_name: parameter.description or "" for parameter in parameters}


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _type(value: Any) -> str:
    """Writes ``system.Model@0.0.1`` as ``Model``, and a list of artifacts as such."""
    name = str(value.type).removeprefix("system.").partition("@")[0]
    return f"list of {name}" if value.is_artifact_list else name


def _default(value: Any) -> str:
    if not value.optional:
        return _REQUIRED
    return "none" if value.default is None else f"`{json.dumps(value.default)}`"


def _one_line(text: str) -> str:
    """Joins lines, writes code as Markdown does, and keeps a table's bars apart from the text's."""
    return " ".join(text.split()).replace("``", "`").replace("|", r"\|")


if __name__ == "__main__":
    main()
