"""The services: `register` imports all of them, which registers their handlers."""

from __future__ import annotations

import importlib
import pkgutil


def register() -> None:
    """Register the handlers of every service in this folder."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
