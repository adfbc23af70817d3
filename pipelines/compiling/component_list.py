"""Finds every component of the package: what is compiled, and what READMEs have tables of."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kfp.dsl.base_component import BaseComponent

COMPONENTS = Path(__file__).parents[2] / "components"
_PACKAGE = "kfp_llm_tuning.components"
_INTERFACES = "*component.py"
# A component of the same name that only one platform runs stands in a module named after it.
_PLATFORM_MODULES = {"vertex_component": "-vertex"}


def stages() -> list[str]:
    """Lists the folders that have components."""
    return sorted({path.parent.name for path in COMPONENTS.glob(f"*/{_INTERFACES}")})


def components_of(stage: str) -> Iterator[tuple[str, BaseComponent]]:
    """Finds the components that a folder defines.

    Args:
        stage: Name of the folder.

    Yields:
        A name that no other component has, and the component; in the order of their source.
    """
    from kfp.dsl.base_component import BaseComponent

    for path in sorted((COMPONENTS / stage).glob(_INTERFACES)):
        module = importlib.import_module(f"{_PACKAGE}.{stage}.{path.stem}")
        for value in vars(module).values():
            if isinstance(value, BaseComponent):
                yield f"{value.name}{_PLATFORM_MODULES.get(path.stem, '')}", value


def source_function(component: BaseComponent) -> Any:
    """Finds the Python function that a component was made of; None where it was read from YAML."""
    # A container component's function goes by another name than a Python component's.
    return getattr(component, "python_func", None) or getattr(component, "pipeline_func", None)


def import_path(component: BaseComponent) -> tuple[str, str]:
    """Tells what to import to get at a component of ours.

    Args:
        component: One that ``components_of`` yields.

    Returns:
        Module and name: the stage's own package where that exports it.
    """
    function = source_function(component)
    package = function.__module__.rpartition(".")[0]
    exported = getattr(importlib.import_module(package), function.__name__, None)
    return (package if exported is component else function.__module__), function.__name__
