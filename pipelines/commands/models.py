"""``kfp-llm-tuning models``: the registered models."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from kfp_llm_tuning.components.common.platforms import VERTEX
from kfp_llm_tuning.components.common.wording import counted
from kfp_llm_tuning.pipelines.commands.compared_models import print_comparison
from kfp_llm_tuning.pipelines.commands.completion import complete_registered_models
from kfp_llm_tuning.pipelines.commands.place_options import place_options, vertex_typed
from kfp_llm_tuning.pipelines.commands.registry_option import registry_option
from kfp_llm_tuning.pipelines.commands.request_options import parse_labels
from kfp_llm_tuning.pipelines.commands.tables import print_table
from kfp_llm_tuning.pipelines.registries.registry import (
    REGISTRY_PLATFORM_NAMES,
    MlflowRegistry,
    Registry,
    VertexRegistry,
)

if TYPE_CHECKING:
    from kfp_llm_tuning.components.upload.catalogue import Version

# What is listed of a version that was not evaluated; `show` has every metric.
_WITHOUT_EVALUATION = ("tuned/exact_match", "tuned/loss", "eval_total_loss", "train_total_loss")


@click.group()
def models() -> None:
    """List, show, compare or delete registered models; list those that can be tuned."""


def _registry_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Lets a command work on either registry; it takes ``registry`` in the options' place."""

    @registry_option
    @click.option(
        "--platform",
        type=click.Choice(REGISTRY_PLATFORM_NAMES),
        help="[default: vertex where --project or --region is given, else local]",
    )
    @place_options
    @wraps(command)
    def with_registry(
        *arguments: Any,
        registry_uri: str,
        platform: str | None,
        project: str,
        region: str,
        api_endpoint: str,
        **options: Any,
    ) -> Any:
        resource = options.get("model", "")
        registry: Registry = MlflowRegistry(registry_uri)
        if platform == VERTEX.name or (platform is None and _says_vertex(resource)):
            registry = VertexRegistry(vertex_typed(project, region, api_endpoint, resource))
        return command(*arguments, registry=registry, **options)

    return with_registry


def _says_vertex(model: str) -> bool:
    """Whether a place on Vertex AI is typed in: one of the environment does not count."""
    context = click.get_current_context()
    typed = [
        context.get_parameter_source(name) == ParameterSource.COMMANDLINE
        for name in ("project", "region")
    ]
    return any(typed) or model.startswith("projects/")


@models.command("list")
@_registry_options
@click.option(
    "--label", "labels", multiple=True, metavar="NAME=VALUE", help="Only versions with this label."
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def list_models(registry: Registry, labels: tuple[str, ...], as_json: bool) -> None:
    """List every version of every model, the newest first."""
    versions = registry.list_versions(parse_labels(labels))
    if as_json:
        click.echo(json.dumps([_as_json(version) for version in versions], indent=2))
    elif versions:
        _print(versions)
    else:
        click.echo("No models." if not labels else "No models with these labels.")


@models.command()
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def available(as_json: bool) -> None:
    """List the models that have names, and the smallest machine that each can be tuned on.

    What is predicted of memory, speed and cost is reckoned from the models' sizes: nothing is
    downloaded, and nobody is asked.
    """
    from kfp_llm_tuning.pipelines.planning.machine_table import TITLES, notes, rows

    if as_json:
        click.echo(json.dumps([dataclasses.asdict(row) for row in rows()], indent=2))
        return
    print_table(TITLES, [row.texts for row in rows()])
    for note in notes():
        click.echo(note)


@models.command()
@click.argument("model", shell_complete=complete_registered_models)
@_registry_options
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def show(model: str, registry: Registry, as_json: bool) -> None:
    """Show everything about one version.

    MODEL is NAME (the deployed version, else the newest) or NAME@VERSION; in MLflow also
    models/NAME@VERSION, models:/NAME/VERSION or models:/NAME@deployed; on Vertex AI also an id or
    a full resource name, which says project and region too.
    """
    version = registry.find_version(model)
    if as_json:
        click.echo(json.dumps(_as_json(version), indent=2))
        return
    deployed = " (deployed)" if version.deployed else ""
    click.echo(f"{version.resource_name}{deployed}\n\n{_prose(version.description)}\n")
    click.echo(f"registered  {version.created}")
    click.echo(f"weights     {version.location}")
    click.echo(f"run         {version.run_id} in {registry.place}")
    _show_values("Labels", version.labels)
    if version.primary:
        click.echo(f"primary     {version.primary}")
    _show_metrics(version.metrics, version.primary.name if version.primary else "")
    _show_values("Parameters", _without_repetition(version.parameters, "parameters/"))


def _prose(description: str) -> str:
    """Leaves out of a description what is shown as metrics."""
    lines = [line for line in description.split("\n\n") if not line.startswith("- ")]
    return "\n".join(lines)


def _without_repetition(values: Mapping[str, Any], group: str) -> dict[str, Any]:
    """Leaves out empty values, and those of a group that stand outside of it too."""
    return {
        name: value
        for name, value in values.items()
        if value != "" and (not name.startswith(group) or name.removeprefix(group) not in values)
    }


def _show_metrics(metrics: Mapping[str, float], first: str) -> None:
    """Shows what base and tuned model were compared by in one row each, then the others."""
    compared = sorted(
        (
            name.removeprefix("tuned/")
            for name in metrics
            if name.startswith("tuned/") and f"base/{name.removeprefix('tuned/')}" in metrics
        ),
        key=lambda name: (name != first, name),
    )
    sides = {f"{side}/{name}" for side in ("base", "tuned") for name in compared}
    if compared:
        click.echo("")
        rows = [
            (f"  {name}", *(f"{metrics[f'{side}/{name}']:.4g}" for side in ("base", "tuned")))
            for name in compared
        ]
        print_table(("Metrics", "base", "tuned"), rows)
    others = {name: value for name, value in metrics.items() if name not in sides}
    of_tuning = {
        name: _figure(value) for name, value in _without_repetition(others, "tuning/").items()
    }
    _show_values("Metrics of tuning" if compared else "Metrics", of_tuning)


def _figure(value: float) -> str:
    return f"{value:.0f}" if value.is_integer() else f"{value:.6g}"


def _show_values(title: str, values: Mapping[str, Any]) -> None:
    if not values:
        return
    click.echo(f"\n{title}")
    width = max(map(len, values))
    for name in sorted(values):
        click.echo(f"  {name:<{width}}  {values[name]}")


@models.command()
@click.argument("model", shell_complete=complete_registered_models)
@click.argument("other", shell_complete=complete_registered_models)
@_registry_options
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def compare(model: str, other: str, registry: Registry, as_json: bool) -> None:
    """Compare two versions: metrics, data and parameters.

    MODEL and OTHER are as for `models show`. Which is better is said of metrics on the same
    evaluation data only.
    """
    from kfp_llm_tuning.pipelines.registries.model_comparison import compare as compared

    comparison = compared(registry, *map(registry.find_version, (model, other)))
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(comparison), indent=2))
    else:
        print_comparison(comparison)


@models.command()
@click.argument("model", shell_complete=complete_registered_models)
@_registry_options
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(model: str, registry: Registry, yes: bool) -> None:
    """Delete versions; in MLflow with their runs and weights.

    MODEL is NAME, which deletes every version, or NAME@VERSION. In MLflow the run's parameters and
    metrics stay in the trash until `mlflow gc`; so do the weights where a server keeps them. On
    Vertex AI the weights stay in their bucket, and a deployed version is not deleted.
    """
    versions = registry.find_versions(model)
    for version in versions:
        deployed = " (deployed)" if version.deployed else ""
        click.echo(f"{version.resource_name}{deployed}  {version.location}")
    if not yes:
        what = "Delete with weights and reports?" if registry.deletes_weights else "Delete?"
        click.confirm(what, abort=True)
    registry.delete(versions)
    click.echo(f"Deleted {counted(len(versions), 'version')}.")


def _as_json(version: Version) -> dict[str, object]:
    return {
        "model_resource_name": version.resource_name,
        "primary": dataclasses.asdict(version.primary) if version.primary else None,
        **dataclasses.asdict(version),
    }


def _print(versions: Sequence[Version]) -> None:
    rows = [
        (
            f"{version.name}@{version.version}",
            version.base_model,
            "yes" if version.deployed else "",
            _listed_metric(version),
            version.created[:16].replace("T", " "),
        )
        for version in versions
    ]
    print_table(("MODEL", "BASE MODEL", "DEPLOYED", "METRIC", "REGISTERED"), rows)


def _listed_metric(version: Version) -> str:
    if version.primary:
        return str(version.primary)
    known = (name for name in _WITHOUT_EVALUATION if name in version.metrics)
    return next((f"{name} {version.metrics[name]:.4g}" for name in known), "")
