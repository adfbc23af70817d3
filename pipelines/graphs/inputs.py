"""Inputs of graphs: named by the components that read them, described by the table of parameters.

Nobody lists them: an input that a component takes, and that is a row of the table, is an input of
the component's graph, and the pipeline hands it over.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

from kfp_llm_tuning.components.parameters.pipeline import TEXT

# As the default of an input: a value must be given.
REQUIRED = inspect.Parameter.empty


def names_read(*components: BaseComponent) -> set[str]:
    """Names all inputs of components."""
    return {name for component in components for name in component.component_spec.inputs or {}}


def taken(
    names: Iterable[str], inputs: Mapping[str, Any], other_names: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Gives a component, a graph or a step those of a graph's inputs that it reads.

    Args:
        names: What it reads.
        inputs: The graph's, by name.
        other_names: What the graph calls an input, where that is another name.

    Returns:
        The inputs, by the names of whoever reads them.
    """
    sources = {name: (other_names or {}).get(name, name) for name in names}
    return {name: inputs[source] for name, source in sources.items() if source in inputs}


def signature(names: set[str], own: Mapping[str, Any]) -> list[inspect.Parameter]:
    """Writes the inputs of a graph as a function's parameters.

    Args:
        names: What its components read; those that are rows of the table become inputs.
        own: Further inputs, and such as have another default here, each with its default: a text
            for ``REQUIRED``.

    Returns:
        The parameters, those without a default first.
    """
    inputs = {
        name: _parameter(name, row.type, REQUIRED if row.required else row.default)
        for name, row in TEXT.items()
        if name in names
    }
    for name, default in own.items():
        kind = str if default is REQUIRED else type(default)
        inputs[name] = _parameter(name, kind, default)
    return sorted(inputs.values(), key=lambda parameter: parameter.default is not REQUIRED)


def pipeline_of(
    body: Callable[[dict[str, Any]], Any],
    inputs: Iterable[inspect.Parameter],
    outputs: type,
    *,
    name: str,
    description: str,
    documentation: str = "",
) -> BaseComponent:
    """Makes a pipeline whose inputs stand in no function's signature.

    Args:
        body: Builds it from its inputs, by name.
        inputs: What they are.
        outputs: A named tuple of its outputs.
        name: The pipeline's name.
        description: What it is for, in one sentence.
        documentation: A docstring, from which kfp takes the inputs' descriptions.

    Returns:
        The pipeline, to be compiled, or called as one task of another.
    """
    parameters = list(inputs)
    names = [parameter.name for parameter in parameters]

    def pipeline(*values: Any) -> Any:
        return body(dict(zip(names, values, strict=True)))

    # kfp takes inputs, outputs and descriptions from the function's signature and docstring.
    pipeline.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        parameters, return_annotation=outputs
    )
    pipeline.__doc__ = documentation
    return dsl.pipeline(name=name, description=description)(pipeline)


def _parameter(name: str, kind: type, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=kind, default=default
    )
