"""Names of a package that are imported when first asked for, so that importing it costs nothing."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_exports(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Makes a module-level ``__getattr__`` (PEP 562).

    Args:
        package: ``__name__`` of the package.
        modules: The relative module that defines each exported name.

    Returns:
        The function to bind to ``__getattr__``.
    """

    def load(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(modules[name], package), name)

    return load
