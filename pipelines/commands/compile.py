"""``kfp-llm-tuning compile``: the templates and components as YAML."""

from __future__ import annotations

from pathlib import Path

import click

from kfp_llm_tuning.components.common.errors import Problem, raise_all
from kfp_llm_tuning.components.common.images import REGISTRY
from kfp_llm_tuning.components.common.platforms import JOB_PLATFORM_NAMES, KUBEFLOW, VERTEX
from kfp_llm_tuning.pipelines.compiling.compiled_files import PlatformOptions, write_all
from kfp_llm_tuning.pipelines.vertex.platform import PREDICTION_MACHINE


@click.command()
@click.option(
    "--platform",
    "platforms",
    type=click.Choice(JOB_PLATFORM_NAMES),
    multiple=True,
    help="What to compile for; repeatable.  [default: all]",
)
@click.option(
    "--options",
    "options_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Options of a Kubeflow cluster, YAML: machines, volumes, secrets, retries.",
)
@click.option(
    "--print-options", is_flag=True, help="Print a Kubeflow cluster's options, with the defaults."
)
@click.option(
    "--prediction-machine",
    metavar="NAME",
    help="Machine of a batch prediction on Vertex AI, a name of machine_specs.yaml; empty for none "
    f"of its own.  [default: {PREDICTION_MACHINE}]",
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
def compile(
    platforms: tuple[str, ...],
    options_file: Path | None,
    print_options: bool,
    prediction_machine: str | None,
    image_registry: str,
    output: Path,
) -> None:
    """Write the templates and the components as YAML, for KFP and Vertex AI Pipelines."""
    if print_options:
        from kfp_llm_tuning.pipelines.kubeflow.options_file import DEFAULTS

        click.echo(DEFAULTS.read_text(encoding="utf-8"), nl=False)
        return
    names = list(platforms or JOB_PLATFORM_NAMES)
    _check_platforms(names, {KUBEFLOW.name: options_file, VERTEX.name: prediction_machine})
    options = _options(options_file, prediction_machine)
    for path in write_all(output, names, image_registry, options):
        click.echo(path)
    if image_registry == REGISTRY:
        click.echo(f"Note: the images are named in {REGISTRY}: give --image-registry.", err=True)
    if options.kubeflow and not options.kubeflow.checkpoint_directory:
        click.echo("Note: without checkpoint_root a retry of the tuner begins anew.", err=True)


def _check_platforms(names: list[str], given: dict[str, object]) -> None:
    """Refuses options of a platform that is not compiled for."""
    words = {KUBEFLOW.name: "--options", VERTEX.name: "--prediction-machine"}
    raise_all(
        [
            Problem(f"has no effect without --platform {platform}.", words[platform])
            for platform, value in given.items()
            if value is not None and platform not in names
        ]
    )


def _options(options_file: Path | None, prediction_machine: str | None) -> PlatformOptions:
    from kfp_llm_tuning.pipelines.kubeflow.options_file import read_options

    machine = PREDICTION_MACHINE if prediction_machine is None else prediction_machine
    return PlatformOptions(read_options(options_file) if options_file else None, machine)
