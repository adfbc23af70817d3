"""``kfp-llm-tuning compile``: the templates and components as YAML."""

from __future__ import annotations

from pathlib import Path

import click

from kfp_llm_tuning.components.common.images import REGISTRY
from kfp_llm_tuning.pipelines.compile import PLATFORMS, write_all


@click.command()
@click.option(
    "--platform",
    "platforms",
    type=click.Choice(list(PLATFORMS)),
    multiple=True,
    help="What to compile for; repeatable.  [default: all]",
)
@click.option(
    "--image-registry",
    default=REGISTRY,
    show_default=True,
    help="Where `make images` pushed the images.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("compiled"),
    show_default=True,
    help="Folder that the files are written to.",
)
def compile(platforms: tuple[str, ...], image_registry: str, output: Path) -> None:
    """Write the templates and the components as YAML, for KFP and Vertex AI Pipelines."""
    for path in write_all(output, list(platforms or PLATFORMS), image_registry):
        click.echo(path)
    if image_registry == REGISTRY:
        click.echo(f"Note: the images are named in {REGISTRY}: give --image-registry.", err=True)
