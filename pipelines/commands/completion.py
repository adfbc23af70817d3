"""What the shell completes beside options: registered models, runs, names of base models.

A completion must come at once: the registry's file is read without MLflow, whose import alone takes
seconds, and nothing is asked over a network.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.registry_location import database_file, default_registry_uri
from kfp_llm_tuning.pipelines.local_runs import run_record

# Tables and columns of MLflow's registry.
_VERSIONS = "SELECT name, version FROM model_versions WHERE current_stage != 'Deleted_Internal'"


def complete_registered_models(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Completes NAME, and NAME@VERSION once there is an ``@``; of a SQLite registry alone."""
    uri = context.params.get("registry_uri") or default_registry_uri()
    found = sorted(_versions(str(uri)))
    names = {name for name, _ in found}
    if "@" in incomplete:
        names = {f"{name}@{version}" for name, version in found}
    return _starting(names, incomplete)


def complete_models(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Completes registered models, and folders."""
    return [*_folders(incomplete), *complete_registered_models(context, parameter, incomplete)]


def complete_model_references(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Completes the names of base models, and folders."""
    from kfp_llm_tuning.components.models.model_references import names

    return [*_folders(incomplete), *_starting(set(names()), incomplete)]


def complete_choices(
    choices: Sequence[str], _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Completes the values that a parameter may have."""
    return [CompletionItem(name) for name in choices if name.startswith(incomplete)]


def complete_runs(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Completes the names of the runs in --output-dir."""
    given: Any = context.params.get("output_dir") or "runs"
    runs = {path.parent.name for path in Path(given).glob(f"*/{run_record.FILE}")}
    return _starting(runs, incomplete)


def _versions(registry_uri: str) -> list[tuple[str, int]]:
    with suppress(UserError, sqlite3.Error):
        database = database_file(registry_uri)
        if database and database.is_file():
            with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as opened:
                return list(opened.execute(_VERSIONS))
    return []


def _starting(names: set[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]


def _folders(incomplete: str) -> list[CompletionItem]:
    """Leaves it to the shell to complete folders too."""
    return [CompletionItem(incomplete, type="dir")]
