"""What ``models compare`` prints."""

from __future__ import annotations

import click

from kfp_llm_tuning.pipelines.commands.tables import print_table
from kfp_llm_tuning.pipelines.registries.model_comparison import DataSet, Figure, ModelComparison

_UNKNOWN = "not known"
_DIGITS_OF_DIGEST = 12


def print_comparison(comparison: ModelComparison) -> None:
    """Prints two models side by side.

    Args:
        comparison: Of the two.
    """
    rows = [
        ("base model", *comparison.base_models),
        ("training data", *map(_told, comparison.training)),
        ("evaluation data", *map(_told, comparison.evaluation)),
    ]
    print_table(("", *comparison.names), rows)
    click.echo(f"\n{_verdict(comparison)}")
    if comparison.metrics:
        click.echo("")
        metrics = [
            (one.name, _figure(one.first), _figure(one.second), one.better)
            for one in comparison.metrics
        ]
        print_table(("METRIC", *comparison.names, "BETTER"), metrics)
    if comparison.parameters:
        click.echo("")
        changed = [
            (name, *("-" if value is None else value for value in pair))
            for name, pair in comparison.parameters.items()
        ]
        print_table(("PARAMETER", *comparison.names), changed)


def _told(data: DataSet | None) -> str:
    if data is None:
        return _UNKNOWN
    digest = data.digest[:_DIGITS_OF_DIGEST] or _UNKNOWN
    return f"{data.name}, {data.examples:,} rows, sha256 {digest}"


def _figure(figure: Figure) -> str:
    if figure.interval is None:
        return f"{figure.value:.4g}"
    low, high = figure.interval
    return f"{figure.value:.4g} ({low:.3g} to {high:.3g})"


def _verdict(comparison: ModelComparison) -> str:
    if not comparison.metrics:
        return "They have no metric in common: nothing can be compared."
    if comparison.same_evaluation is None:
        return "It is not known what data they were evaluated on: metrics may not be comparable."
    if not comparison.same_evaluation:
        return "They were evaluated on different data: metrics say nothing of which is better."
    return (
        "Both were evaluated on the same data. In parentheses: 95 % intervals; where they overlap, "
        "there is no clear difference."
    )
