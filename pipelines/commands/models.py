"""``kfp-llm-tuning models``: the registered models."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.upload.names import parse_address
from kfp_llm_tuning.pipelines.commands.registry_option import registry_option

if TYPE_CHECKING:
    from rich.table import Table

    from kfp_llm_tuning.components.upload.catalogue import Version

# What a list has room for, the most telling first; `show` has every metric.
_LISTED_METRICS = (
    "tuned/exact_match",
    "tuned/rougeLsum",
    "tuned/loss",
    "eval_total_loss",
    "train_total_loss",
)
_LISTED_METRIC_COUNT = 2


@click.group()
def models() -> None:
    """List, show or delete registered models."""


@models.command("list")
@registry_option
@click.option(
    "--label", "labels", multiple=True, metavar="NAME=VALUE", help="Only versions with this label."
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def list_models(registry_uri: str, labels: tuple[str, ...], as_json: bool) -> None:
    """List every version of every model, the newest first."""
    from kfp_llm_tuning.components.upload.catalogue import list_versions

    versions = list_versions(registry_uri, _parsed(labels))
    if as_json:
        click.echo(json.dumps([_as_json(version) for version in versions], indent=2))
    elif versions:
        _print(_table(versions))
    else:
        click.echo("No models." if not labels else "No models with these labels.")


@models.command()
@click.argument("model")
@registry_option
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def show(model: str, registry_uri: str, as_json: bool) -> None:
    """Show everything about one version.

    MODEL is NAME (the deployed version, else the newest), NAME@VERSION, models/NAME@VERSION,
    models:/NAME/VERSION or models:/NAME@deployed.
    """
    from kfp_llm_tuning.components.upload.catalogue import find_version

    version = find_version(registry_uri, parse_address(model))
    if as_json:
        click.echo(json.dumps(_as_json(version), indent=2))
        return
    deployed = " (deployed)" if version.deployed else ""
    click.echo(f"{version.resource_name}{deployed}\n\n{version.description}\n")
    click.echo(f"registered  {version.created}")
    click.echo(f"weights     {version.location}")
    click.echo(f"MLflow run  {version.run_id} in {registry_uri}")
    for title, values in (
        ("Labels", version.labels),
        ("Metrics", version.metrics),
        ("Parameters", version.parameters),
    ):
        click.echo(f"\n{title}")
        width = max(map(len, values), default=0)
        for name in sorted(values):
            click.echo(f"  {name:<{width}}  {values[name]}")


@models.command()
@click.argument("model")
@registry_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(model: str, registry_uri: str, yes: bool) -> None:
    """Delete versions with their runs and weights.

    MODEL is NAME, which deletes every version, or NAME@VERSION. The run's parameters and metrics
    stay in MLflow's trash until `mlflow gc`; so do the weights where a server keeps them.
    """
    from kfp_llm_tuning.components.upload.catalogue import delete as delete_versions
    from kfp_llm_tuning.components.upload.catalogue import find_version, list_versions

    address = parse_address(model)
    versions = [find_version(registry_uri, address)]
    if not (address.version or address.alias):
        found = list_versions(registry_uri)
        versions = [version for version in found if version.name == address.name]
    for version in versions:
        deployed = " (deployed)" if version.deployed else ""
        click.echo(f"{version.resource_name}{deployed}  {version.location}")
    if not yes:
        click.confirm("Delete with weights and reports?", abort=True)
    delete_versions(registry_uri, versions)
    click.echo(f"Deleted {len(versions)} version{'s' if len(versions) > 1 else ''}.")


def _parsed(labels: Sequence[str]) -> dict[str, str]:
    wrong = [text for text in labels if "=" not in text]
    if wrong:
        raise UserError(
            *(Problem(f"{text!r} is no label.", "--label", "NAME=VALUE") for text in wrong)
        )
    return {name: value for name, _, value in (text.partition("=") for text in labels)}


def _as_json(version: Version) -> dict[str, object]:
    return {"model_resource_name": version.resource_name, **dataclasses.asdict(version)}


def _table(versions: Sequence[Version]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("MODEL", "BASE MODEL", "DEPLOYED", "METRICS", "REGISTERED"):
        table.add_column(title, overflow="fold")
    for version in versions:
        table.add_row(
            f"{version.name}@{version.version}",
            version.base_model,
            "yes" if version.deployed else "",
            _listed_metrics(version),
            version.created[:16].replace("T", " "),
        )
    return table


def _listed_metrics(version: Version) -> str:
    known = [name for name in _LISTED_METRICS if name in version.metrics][:_LISTED_METRIC_COUNT]
    return "\n".join(f"{name} {version.metrics[name]:.4g}" for name in known)


def _print(table: Table) -> None:
    from rich.console import Console

    Console().print(table)
