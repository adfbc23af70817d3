"""What a finished run tells: metrics, reports, curves, the model, and what to type next."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from kfp_llm_tuning.components.common.registry_location import default_registry_uri, scheme_of
from kfp_llm_tuning.components.models.checkpoint_files import PROVENANCE
from kfp_llm_tuning.components.tracking.connection import EXPERIMENT
from kfp_llm_tuning.pipelines.terminal.text import format_seconds

# The report of each task, and its name in the run's reports folder.
_REPORTS = {"validate-dataset": "validation", "evaluate-model": "evaluation"}


@dataclass(frozen=True)
class RunSummary:
    """The outputs of a finished run that a person asks for.

    Attributes:
        evaluation: The content of evaluation.json.
        provenance: The content of the tuned model's tuning.json.
        reports: HTML files.
        tensorboard: Folder of event files.
        saved_model: Folder of the tuned model.
        model_resource_name: Empty where the gate refused the model.
        endpoint_resource_name: Likewise.
    """

    evaluation: dict[str, Any]
    provenance: dict[str, Any]
    reports: tuple[Path, ...]
    tensorboard: Path
    saved_model: Path
    model_resource_name: str
    endpoint_resource_name: str

    @property
    def refused(self) -> bool:
        """Whether the gate kept the model out of the registry."""
        return not self.model_resource_name

    @property
    def primary_metric(self) -> str:
        """Name of the metric that counts for the task; empty without an evaluation."""
        primary = self.evaluation.get("primary") or {}
        return str(primary.get("name") or next(iter(self.evaluation["metrics"]), ""))

    @property
    def primary_change(self) -> str:
        """The metric that counts, of base and tuned model; empty without an evaluation."""
        if not self.primary_metric:
            return ""
        metric = self.evaluation["metrics"][self.primary_metric]
        return f"{self.primary_metric} {metric['base']:.4g} -> {metric['tuned']:.4g}"

    @property
    def headline(self) -> str:
        """What the evaluation found, in a sentence; empty without one."""
        return str(self.evaluation.get("headline", ""))

    @property
    def alarms(self) -> tuple[str, ...]:
        """What of the model's answers is alarming, a sentence each."""
        return tuple(alarm["message"] for alarm in self.evaluation.get("alarms", ()))

    @property
    def registered_as(self) -> str:
        """``NAME@VERSION``; empty where the gate refused the model."""
        return self.model_resource_name.removeprefix("models/")


def summarise(directory: Path, outputs: Mapping[str, Mapping[str, Any]]) -> RunSummary:
    """Reads a finished run's outputs and copies its reports to one folder.

    Args:
        directory: The run's folder; ``reports`` is made in it.
        outputs: Those of each task by its name.

    Returns:
        The summary.
    """
    for task, name in _REPORTS.items():
        target = _report(directory, name)
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(outputs[task]["report"], target)
    return read_summary(directory, outputs)


def read_summary(directory: Path, outputs: Mapping[str, Mapping[str, Any]]) -> RunSummary:
    """Reads a finished run's outputs again.

    Args:
        directory: The run's folder.
        outputs: Those of each task by its name.

    Returns:
        The summary.

    Raises:
        KeyError: If the run was none of a tuning pipeline.
        OSError: If what it made is gone.
        ValueError: If what it made is damaged.
    """
    tuner = outputs["large-language-model-tuner"]
    evaluation = Path(outputs["evaluate-model"]["evaluation"])
    deployed = outputs["create-endpoint-and-deploy-model"]
    return RunSummary(
        evaluation=_read(evaluation / "evaluation.json"),
        provenance=_read(Path(tuner["saved_model"]) / PROVENANCE),
        reports=tuple(_report(directory, name) for name in _REPORTS.values()),
        tensorboard=Path(tuner["tensorboard_metrics"]),
        saved_model=Path(tuner["saved_model"]),
        model_resource_name=outputs["upload-llm-model"]["model_resource_name"],
        endpoint_resource_name=deployed["endpoint_resource_name"],
    )


def _report(directory: Path, name: str) -> Path:
    return directory / "reports" / f"{name}.html"


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def print_summary(console: Console, summary: RunSummary, registry_uri: str, seconds: float) -> None:
    """Prints the end of a run.

    Args:
        console: Where to.
        summary: What to tell.
        registry_uri: Where the model is registered.
        seconds: How long the run took.
    """
    console.print("\nDone", style="bold green", end="")
    console.print(f" in {format_seconds(seconds)}.\n")
    print_outcome(console, summary, registry_uri)


def print_outcome(console: Console, summary: RunSummary, registry_uri: str) -> None:
    """Prints what a run made, and what to type next.

    Args:
        console: Where to.
        summary: What to tell.
        registry_uri: Where the model is registered.
    """
    failures = summary.evaluation["failures"]
    for failure in failures:
        console.print("Evaluation: ", style="yellow", end="")
        console.print(failure)
    if summary.evaluation["examples"]:
        _print_verdict(console, summary)
        console.print(_metrics_table(summary.evaluation))
    elif not failures:
        console.print("There was no evaluation set: nothing was compared.")
    if substitute := summary.provenance.get("substitute_for"):
        console.print(
            f"{substitute} is closed: {summary.provenance['checkpoint']} was tuned in its place."
        )
    if summary.refused:
        console.print("Not registered. ", style="red", end="")
        console.print(summary.evaluation["gate"]["reason"])
    for name, value in _places(summary, registry_uri):
        console.print(f"  {name:<13} {value}")
    console.print("\nNext:")
    for command in _next_commands(summary, registry_uri):
        console.print(f"  {command}")
    console.print(f"MLflow shows runs and curves under Model training, {EXPERIMENT}.")


# How the verdict is coloured.
_TONES = {"good": "bold green", "muted": "bold", "bad": "bold red"}


def _print_verdict(console: Console, summary: RunSummary) -> None:
    style = _TONES[summary.evaluation.get("tone", "muted")]
    console.print(summary.headline, style=style, markup=False, highlight=False)
    for alarm in summary.alarms:
        console.print("✗ ", style="red", end="")
        console.print(alarm, markup=False, highlight=False)
    console.print()


def _metrics_table(evaluation: dict[str, Any]) -> Table:
    table = Table(title=f"{evaluation['examples']} evaluation examples", title_justify="left")
    table.add_column("metric")
    for column in ("base", "tuned"):
        table.add_column(column, justify="right")
    table.add_column("tuned is")
    for name, metric in evaluation["metrics"].items():
        table.add_row(name, f"{metric['base']:.4g}", f"{metric['tuned']:.4g}", metric["verdict"])
    return table


def _places(summary: RunSummary, registry_uri: str) -> list[tuple[str, str]]:
    places = [("report", str(path)) for path in summary.reports]
    places.append(("curves", str(summary.tensorboard)))
    places.append(("weights", str(summary.saved_model)))
    if not summary.refused:
        places.append(("model", f"{summary.model_resource_name} in {registry_uri}"))
        places.append(("endpoint", summary.endpoint_resource_name))
    return places


def _next_commands(summary: RunSummary, registry_uri: str) -> list[str]:
    curves = [f"tensorboard --logdir {summary.tensorboard}"]
    if scheme_of(registry_uri) not in ("http", "https"):
        curves.insert(0, f"mlflow ui --backend-store-uri {registry_uri}")
    if summary.refused:
        model = shlex.quote(str(summary.saved_model))
        return [
            f'kfp-llm-tuning predict {model} "your text"',
            f"kfp-llm-tuning serve {model}",
            *curves,
        ]
    name = shlex.quote(summary.registered_as.partition("@")[0])
    # Here the commands find it by themselves.
    registry = "" if registry_uri == default_registry_uri() else f" --registry-uri {registry_uri}"
    return [
        f'kfp-llm-tuning predict {name} "your text"{registry}',
        f"kfp-llm-tuning serve {name}{registry}",
        f"kfp-llm-tuning models show {name}{registry}",
        *curves,
    ]
