"""Writes the tables of inputs and outputs in READMEs and docs; `make readme` runs it.

The tables come from the compiled interfaces and from the table of parameters, so they say what KFP
sees: names, types, defaults and descriptions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components import __version__
from kfp_llm_tuning.components.models.implemented import implementations
from kfp_llm_tuning.components.parameters.pipeline import CHAT, TEXT
from kfp_llm_tuning.components.parameters.row import Parameter
from kfp_llm_tuning.components.parameters.tuner import ARGUMENTS
from kfp_llm_tuning.pipelines.compiling.component_list import (
    COMPONENTS,
    components_of,
    import_path,
    source_function,
    stages,
)

if TYPE_CHECKING:
    from kfp.dsl.base_component import BaseComponent

_DOCS = COMPONENTS.parent / "docs"
PARAMETERS_PAGE = _DOCS / "parameters.md"
IMPLEMENTED_PAGE = _DOCS / "implemented.md"
MACHINES_PAGE = _DOCS / "machines.md"
_BEGIN = "<!-- interface -->"
_END = "<!-- /interface -->"
_REQUIRED = "required"


def pages() -> dict[Path, Callable[[], str]]:
    """Lists the pages that have tables, and what writes those of each."""
    readmes = {COMPONENTS / stage / "README.md": partial(interface, stage) for stage in stages()}
    docs = {PARAMETERS_PAGE: parameters_table, IMPLEMENTED_PAGE: implemented_table}
    docs[MACHINES_PAGE] = machines_table
    return {**readmes, **docs}


def interface(stage: str) -> str:
    """Writes the tables of a folder's components.

    Args:
        stage: Name of the folder.

    Returns:
        Markdown: each component's name, what it does, its inputs and its outputs.
    """
    return "\n\n".join(_section(name, component) for name, component in components_of(stage))


def parameters_table() -> str:
    """Writes the tables of the root inputs of both templates, and of the tuner's arguments.

    Returns:
        Markdown: a line an input, the published ones first, and a line an argument.
    """
    inputs = [
        (*_facts(entry), _templates_with(name), _platforms(entry), _publication(name), _help(entry))
        for name, entry in TEXT.items()
    ]
    header = ("Input", "Type", "Default", "Allowed", "Template", "Platform", "Published", "Meaning")
    arguments = [
        (*_facts(entry), entry.source or "-", _reached_by(entry), _help(entry))
        for entry in ARGUMENTS.values()
    ]
    titles = ("Argument", "Type", "Default", "Allowed", "Known as", "Given by", "Meaning")
    return "\n\n".join(
        [
            "## Root inputs",
            _table(header, inputs),
            "## Arguments of the tuner",
            _table(titles, arguments),
        ]
    )


def _facts(entry: Parameter) -> tuple[str, ...]:
    """Writes what both tables begin with: name, type, default, what is allowed."""
    default = f"`{json.dumps(entry.default)}`"
    if entry.decided_by:
        default = f"{entry.decided_by}, else {default}"
    allowed = entry.limits
    if entry.unit:
        allowed = f"{allowed} ({entry.unit})" if allowed else f"in {entry.unit}"
    kind = "JSON object" if entry.type is dict else entry.type.__name__
    return f"`{entry.name}`", kind, _REQUIRED if entry.required else default, allowed or "any"


def _help(entry: Parameter) -> str:
    needs = f" Needs {entry.needs}." if entry.needs else ""
    return _one_line(entry.help + needs)


def _platforms(entry: Parameter) -> str:
    return ", ".join(entry.platforms) or "every"


def _reached_by(entry: Parameter) -> str:
    return f"`{entry.root_input}`" if entry.root_input else f"`{entry.option}`"


def implemented_table() -> str:
    """Writes the table of what is implemented.

    Returns:
        Markdown: a line a row of components/models/implemented.yaml.
    """
    rows = [
        (
            f"`{row.stage}`",
            row.engine,
            ", ".join(f"{name} (image `{image}`)" for name, image in row.images.items()),
            ", ".join(row.platforms),
            "every decoder-only one" if "*" in row.families else ", ".join(row.families),
            ", ".join(row.methods) or "-",
        )
        for row in implementations()
    ]
    header = ("Stage", "Engine", "Accelerators", "Platforms", "Language models", "Tuning methods")
    return _table(header, rows)


def machines_table() -> str:
    """Writes the table of machines by model and method.

    Returns:
        Markdown: a line a row of ``models available``, and what the figures are of.
    """
    from kfp_llm_tuning.pipelines.planning.machine_table import TITLES, notes, rows

    table = _table(TITLES, [row.texts for row in rows()])
    return "\n\n".join([table, *notes()])


def _templates_with(name: str) -> str:
    return "both" if name in CHAT else "text"


def _publication(name: str) -> str:
    if not TEXT[name].published:
        return "ours"
    return "published" if name not in CHAT or CHAT[name].published else "published for text"


def with_interface(text: str, tables: str) -> str:
    """Puts the current tables between the marks of a page.

    Args:
        text: The page.
        tables: Markdown.

    Returns:
        The page with the tables of now.

    Raises:
        ValueError: If the marks are missing, doubled or in the wrong order.
    """
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end) or _BEGIN in after or _END in before:
        raise ValueError(f"the page needs {_BEGIN} and {_END} once each")
    return f"{before}{_BEGIN}\n\n{tables}\n\n{_END}{after}"


def main() -> None:
    """Rewrites every page whose tables have changed."""
    for path, tables in pages().items():
        text = path.read_text(encoding="utf-8")
        current = with_interface(text, tables())
        if current != text:
            path.write_text(current, encoding="utf-8")


def _section(name: str, component: BaseComponent) -> str:
    specification = component.component_spec
    described = _described_arguments(component)
    parts = [f"### {name}", _one_line(specification.description or ""), _origin(name, component)]
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


def _origin(name: str, component: BaseComponent) -> str:
    """Says which version this is, and both ways to get at it."""
    module, function = import_path(component)
    yaml_file = f"[{name}.yaml](../../compiled/components/{name}.yaml)"
    return f"Version {__version__}: `from {module} import {function}`, or {yaml_file}."


def _described_arguments(component: BaseComponent) -> dict[str, str]:
    """Reads the arguments' descriptions: of outputs that are arguments, KFP keeps none."""
    from docstring_parser import parse

    function = source_function(component)
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
