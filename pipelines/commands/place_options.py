"""The options that say where on Vertex AI a command works, alike in every command that asks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from kfp_llm_tuning.pipelines.parameters import TEXT

PROJECT_VARIABLE = "GOOGLE_CLOUD_PROJECT"
REGION_VARIABLE = "GOOGLE_CLOUD_REGION"


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --project, --region and --api-endpoint.

    Args:
        command: Takes ``project``, ``region`` and ``api_endpoint``.

    Returns:
        The command with the options.
    """
    for option in (
        click.option(
            "--api-endpoint",
            default=TEXT["api_endpoint"].default,
            help="Vertex AI's endpoint without its region, or a whole URL.",
        ),
        click.option(
            "--region",
            "--location",
            "region",
            default="",
            envvar=REGION_VARIABLE,
            show_envvar=True,
            help="The region.",
        ),
        click.option(
            "--project",
            default="",
            envvar=PROJECT_VARIABLE,
            show_envvar=True,
            help="Id or number of the project.",
        ),
    ):
        command = option(command)
    return command
