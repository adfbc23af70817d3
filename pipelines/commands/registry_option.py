"""The option that names the registry, alike in every command that has one."""

from __future__ import annotations

import click

from kfp_llm_tuning.components.common.registry_location import (
    REGISTRY_VARIABLE,
    default_registry_uri,
)

registry_option = click.option(
    "--registry-uri",
    default=default_registry_uri,
    show_default=f"{REGISTRY_VARIABLE}, else runs/mlflow.db",
    metavar="URI",
    help="MLflow tracking URI: sqlite:///PATH/mlflow.db or a server.",
)
