"""``kfp-llm-tuning validate``: the pipeline's check of a dataset, from the shell."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kfp_llm_tuning.components.common.dataset_formats import FormatName
from kfp_llm_tuning.components.common.errors import EXIT_USER_ERROR, raise_all
from kfp_llm_tuning.components.common.train_on import TrainOn
from kfp_llm_tuning.components.common.wording import counted
from kfp_llm_tuning.components.parameters.pipeline import TEXT, TEXT_TEMPLATE
from kfp_llm_tuning.components.parameters.reading import read
from kfp_llm_tuning.pipelines.commands.completion import complete_model_references
from kfp_llm_tuning.pipelines.requests.run_length import length_problems, with_advised_steps
from kfp_llm_tuning.pipelines.terminal.terminal_output import at_work

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from kfp_llm_tuning.components.validation.dataset import Validation
    from kfp_llm_tuning.components.validation.summary import DatasetSummary, Summary

# For rows in other formats than the published ones, as kind as the checkpoint behind those.
_OPEN_MODEL = "qwen2.5-7b-instruct"
_COLOURS = {"error": "red", "warning": "yellow", "note": "dim"}
_MARKS = {"error": "✗", "warning": "!", "note": "·"}


@click.command()
@click.argument("file", type=click.Path())
@click.option(
    "--evaluation",
    type=click.Path(),
    default="",
    metavar="FILE",
    help="Evaluation set.",
)
@click.option(
    "--evaluation-fraction",
    type=float,
    default=0.0,
    help="Share of FILE that is held out to evaluate on, instead of --evaluation.",
)
@click.option("--seed", type=int, default=0, help="Of the choice of what is held out.")
@click.option(
    "--model",
    default="",
    metavar="REF",
    shell_complete=complete_model_references,
    help="The model to tune.  [default: text-bison@001 or chat-bison@001 for one JSONL file of "
    f"published rows, else {_OPEN_MODEL}]",
)
@click.option(
    "--dataset-format",
    type=click.Choice([name.value for name in FormatName]),
    default=None,
    help="Format of the rows of both sets.  [default: found from the rows of each]",
)
@click.option("--default-context", default="", help="Context of conversations that have none.")
@click.option(
    "--train-steps",
    type=int,
    help="Optimiser steps, for the number of epochs; 0 or less: the model's own.  "
    "[default: what is advised for the task found in the data; 300 for closed models]",
)
@click.option("--epochs", type=float, help="Passes over the data, instead of --train-steps.")
@click.option(
    "--train-on",
    type=click.Choice([choice.value for choice in TrainOn]),
    default=TrainOn.ALL.value,
    show_default=True,
    help="Answers of a conversation that are learned.",
)
@click.option(
    "--report",
    "report_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the HTML report here.",
)
@click.option("--strict", is_flag=True, help="Let warnings refuse the dataset too.")
@click.option(
    "--max-printed",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="How many errors, warnings and notes, each, are printed; all are counted.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def validate(
    file: str,
    evaluation: str,
    evaluation_fraction: float,
    seed: int,
    model: str,
    dataset_format: str | None,
    default_context: str,
    train_steps: int | None,
    epochs: float | None,
    train_on: str,
    report_file: Path | None,
    strict: bool,
    max_printed: int,
    as_json: bool,
) -> None:
    """Check a dataset and say all that is wrong with it.

    FILE is JSONL, a JSON array, CSV, TSV, Parquet or Arrow, a path or any URI that fsspec opens; a
    folder, a pattern ("data/*.jsonl"), several with commas between, or hf://org/name. The exit
    code is 0 for a dataset that may be tuned on and 1 for any other.
    """
    from kfp_llm_tuning.components.data.sources.files import check_stores_reached
    from kfp_llm_tuning.components.validation.dataset import Request, validate_dataset

    with _report_written(report_file) as report, at_work(f"Checking {file}"):
        check_stores_reached(file)
        check_stores_reached(evaluation)
        reference = model or _default_model(file, dataset_format or "")
        validation = validate_dataset(
            Request(
                dataset_uri=file,
                evaluation_data_uri=evaluation,
                evaluation_fraction=evaluation_fraction,
                seed=seed,
                large_model_reference=reference,
                dataset_format=dataset_format or "",
                default_context=default_context,
                **_run_length(reference, train_steps, epochs),
                train_on=train_on,
                strict=strict,
                max_printed_problems=max_printed,
            )
        )
        report(validation)
    if as_json:
        click.echo(validation.summary.to_json(), nl=False)
    else:
        _show(validation, report_file)
    if not validation.summary.valid:
        sys.exit(EXIT_USER_ERROR)


def _default_model(file: str, dataset_format: str) -> str:
    """Chooses by the rows: the published models for what they take, else an open one."""
    from kfp_llm_tuning.components.data.formats.published import PUBLISHED_CHAT, PUBLISHED_TEXT
    from kfp_llm_tuning.components.data.reading.row_format import detect_format
    from kfp_llm_tuning.components.data.sources.reader import is_one_jsonl_file

    found = detect_format(file, default=PUBLISHED_TEXT)
    is_published = FormatName.PUBLISHED in (found.name, dataset_format)
    if not (is_published and is_one_jsonl_file(file)):
        return _OPEN_MODEL
    return "chat-bison@001" if found == PUBLISHED_CHAT else "text-bison@001"


def _run_length(reference: str, train_steps: int | None, epochs: float | None) -> dict[str, Any]:
    """Says how long is trained, as ``run`` does with the same options."""
    given = {"train_steps": train_steps, "epochs": epochs}
    values = {name: value for name, value in given.items() if value is not None}
    raise_all([*length_problems(values), *read(values, TEXT, limits=True)[1]])
    settled = with_advised_steps({"large_model_reference": reference, **values}, TEXT_TEMPLATE)
    return {name: settled[name] for name in given if name in settled}


@contextmanager
def _report_written(path: Path | None) -> Iterator[Callable[[Validation], None]]:
    """Opens the report before anything is checked; what it yields writes it, or nothing."""
    if path is None:
        yield lambda _: None
        return
    from kfp_llm_tuning.components.common.storage import open_output
    from kfp_llm_tuning.components.validation.validation_report import render_report

    with open_output(path, "--report") as stream:

        def write(validation: Validation) -> None:
            stream.write(render_report(validation).encode())

        yield write


def _show(validation: Validation, report_file: Path | None) -> None:
    from rich.console import Console

    # Rows of other people's data are printed: nothing in them is markup.
    console = Console(markup=False, highlight=False, emoji=False, soft_wrap=True)
    summary = validation.summary
    console.print(_figures(summary))
    for severity in ("note", "warning", "error"):
        _show_findings(console, validation, severity)
    for sentence in summary.bounded:
        console.print(sentence, style="dim")
    if report_file:
        console.print(f"Report: {report_file}")
    _show_verdict(console, summary)


def _show_findings(console: Console, validation: Validation, severity: str) -> None:
    from kfp_llm_tuning.components.data.reading.findings import Severity, list_problems

    for problem in list_problems(validation.findings, Severity(severity)):
        console.print(f"{_MARKS[severity]} {problem}", style=_COLOURS[severity])


def _show_verdict(console: Console, summary: Summary) -> None:
    warnings = counted(summary.warnings, "warning")
    if summary.valid and summary.model_unchecked:
        unchecked = f"? The rows can be tuned on, but {summary.model_reference} was not checked"
        console.print(f"{unchecked}: {warnings}.", style="bold yellow")
    elif summary.valid:
        console.print(f"✓ Ready to tune on {summary.model_reference}: {warnings}.", style="green")
    else:
        errors = counted(summary.errors, "error")
        console.print(f"✗ Not usable yet: {errors}, {warnings}.", style="bold red")


def _figures(summary: Summary) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("")
    columns = [("training", summary.training)]
    if summary.evaluation:
        columns.append(("evaluation", summary.evaluation))
    for name, _ in columns:
        table.add_column(name, justify="right")
    rows = [_column(dataset) for _, dataset in columns]
    for name in rows[0]:
        table.add_row(name, *(row.get(name, "") for row in rows))
    return table


def _column(dataset: DatasetSummary) -> dict[str, str]:
    figures = {"examples": f"{dataset.examples:,}", "of them good": f"{dataset.good_examples:,}"}
    if dataset.messages:
        figures["assistant messages"] = f"{dataset.training_examples:,}"
    figures["task"] = dataset.task
    if dataset.labels:
        figures["labels"] = f"{len(dataset.labels):,}"
    for name, tokens in (("input", dataset.input_tokens), ("output", dataset.output_tokens)):
        if tokens:
            figures[f"{name} tokens, median / longest"] = (
                f"{tokens.percentile_50:,} / {tokens.maximum:,}"
            )
    return figures
