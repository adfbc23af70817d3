"""``kfp-llm-tuning convert``: a dataset in another format."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kfp_llm_tuning.components.common.dataset_formats import FormatName
from kfp_llm_tuning.components.common.wording import counted
from kfp_llm_tuning.pipelines.terminal.terminal_output import at_work

if TYPE_CHECKING:
    from kfp_llm_tuning.components.data.formats.format import Format
    from kfp_llm_tuning.components.dataset.conversion import Conversion

_FORMATS = [str(name) for name in FormatName]
# Answers that were compared are written as what was preferred: nothing is lost of any other format.
_TARGETS = [name for name in _FORMATS if name != FormatName.PREFERENCE]
_STDOUT = "-"


@click.command()
@click.argument("source", metavar="IN", type=click.Path())
@click.argument("target", metavar="OUT", type=click.Path())
@click.option("--to", required=True, type=click.Choice(_TARGETS), help="What to write.")
@click.option(
    "--dataset-format",
    type=click.Choice(_FORMATS),
    help="What IN's rows are.  [default: found from the rows]",
)
def convert(source: str, target: str, to: str, dataset_format: str | None) -> None:
    """Write the rows of a dataset in another format.

    IN is whatever `validate` reads: JSONL, a JSON array, CSV, TSV, Parquet or Arrow, a folder, a
    pattern, several with commas between, hf://org/name. OUT is a file that ends in .jsonl, .csv or
    .tsv, or - for JSONL on standard output. Where a row is bad, or the format has no place for
    something in it, all such rows are told and nothing is written.
    """
    from kfp_llm_tuning.components.common.storage import open_output
    from kfp_llm_tuning.components.dataset.conversion import check_suffix, convert_dataset

    suffix = "" if target == _STDOUT else Path(target).suffix.lower()
    check_suffix(suffix, "OUT")
    expected = _format_of(source, dataset_format)
    with at_work(f"Converting {source}"):
        if target == _STDOUT:
            done = convert_dataset(source, expected, FormatName(to), sys.stdout.buffer)
        else:
            with open_output(Path(target), "OUT") as stream:
                done = convert_dataset(source, expected, FormatName(to), stream, suffix)
    _tell(done, target, to)


def _format_of(source: str, name: str | None) -> Format:
    from kfp_llm_tuning.components.data.formats.registry import formats_named
    from kfp_llm_tuning.components.data.reading.row_format import detect_format

    if not name:
        return detect_format(source)
    among = formats_named(name)
    return detect_format(source, among, default=among[-1])


def _tell(done: Conversion, target: str, to: str) -> None:
    """Says what was done on standard error, so that rows may stand alone on standard output."""
    for problem in done.warnings:
        click.echo(f"! {problem}", err=True)
    for name, count in done.scan.ignored_fields.most_common():
        rows = counted(count, "row")
        click.echo(f"· the field {name!r} is not read; it stands in {rows}.", err=True)
    read = f"{done.scan.name}: read as {done.scan.format.title}, {counted(done.rows, 'row')}."
    place = "standard output" if target == _STDOUT else target
    click.echo(f"{read} Written to {place} as {to}.", err=True)
