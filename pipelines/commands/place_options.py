"""The options that say where on Vertex AI a command works, alike in every command that asks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.parameters.pipeline import TEXT

if TYPE_CHECKING:
    from kfp_llm_tuning.components.common.vertex import Vertex

PROJECT_VARIABLE = "GOOGLE_CLOUD_PROJECT"
REGION_VARIABLE = "GOOGLE_CLOUD_REGION"


def vertex_typed(project: str, region: str, api_endpoint: str, resource: str = "") -> Vertex:
    """Finds the Vertex AI that a command's options name.

    Args:
        project: As ``vertex_at`` has it.
        region: Likewise.
        api_endpoint: Likewise.
        resource: Likewise.

    Returns:
        Vertex AI; nothing is asked yet.

    Raises:
        click.UsageError: With every option that is missing or wrong.
    """
    from kfp_llm_tuning.pipelines.vertex.place import vertex_at

    try:
        return vertex_at(project, region, api_endpoint, resource)
    except UserError as error:
        raise click.UsageError(str(error), click.get_current_context()) from error


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
