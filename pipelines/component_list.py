"""Finds every component of the package: what is compiled, and what READMEs have tables of."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kfp.dsl.base_component import BaseComponent

COMPONENTS = Path(__file__).parents[1] / "components"
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
