"""Finds the format that a dataset is written in: by its rows, as the model demands, or as given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from kfp_llm_tuning.components.data.formats.format import Format
from kfp_llm_tuning.components.data.formats.published import PUBLISHED_CHAT, PUBLISHED_TEXT
from kfp_llm_tuning.components.data.formats.registry import (
    FORMATS,
    UNKNOWN,
    formats_named,
    possible_formats,
)
from kfp_llm_tuning.components.data.reading.json_syntax import JSON_WHITESPACE, Fields, parse
from kfp_llm_tuning.components.data.rows import RowFormat
from kfp_llm_tuning.components.data.sources.parts import Rows
from kfp_llm_tuning.components.data.sources.reader import read_source
from kfp_llm_tuning.components.models.model_reference import ModelReference

_CONVERT = (
    "Convert the file (kfp-llm-tuning convert), give dataset_format as {name}, or tune an open "
    "model, which takes any format."
)


def find_format(uri: str, model: ModelReference, name: str = "") -> Format:
    """Finds the format of a dataset.

    The closed models of the published templates take published rows alone, unless another format is
    given; open models take every format, and the first telling row decides.

    Args:
        uri: The dataset, as `data.sources.files.list_files` takes it.
        model: The model that is tuned.
        name: The root input dataset_format; empty to find it from the rows.

    Returns:
        The format; of a file in none that is known, one that refuses every row.

    Raises:
        UserError: If the file cannot be opened.
    """
    kind = _kind_of(model)
    if model.substitute_for and not name:
        published = PUBLISHED_CHAT if kind == RowFormat.CHAT else PUBLISHED_TEXT
        return replace(published, claim=f"{model.name} takes", remedy=_CONVERT, jsonl_only=True)
    if not name:
        found = detect_format(uri)
        return replace(found, row_format=kind or found.row_format)
    among = formats_named(name)
    wanted = [each for each in among if each.row_format == kind]
    found = wanted[0] if wanted else detect_format(uri, among, default=among[-1])
    return replace(
        found,
        row_format=kind or found.row_format,
        claim="dataset_format says",
        remedy="Write every row in that format, or leave dataset_format out.",
    )


def detect_format(uri: str, among: Sequence[Format] = FORMATS, default: Format = UNKNOWN) -> Format:
    """Reads a dataset up to its first telling row.

    Args:
        uri: The dataset, as `data.sources.files.list_files` takes it.
        among: The formats that it may have.
        default: What is returned where no row tells.

    Returns:
        The format of the first row that is in one format alone; where there is none, one of the
        formats of the first that may be in several.

    Raises:
        UserError: If a file cannot be opened.
    """
    lines = (part.lines for part in read_source(uri, "") if isinstance(part, Rows))
    return format_of_lines(lines, among) or default


def format_of_lines(chunks: Iterable[bytes], among: Sequence[Format] = FORMATS) -> Format | None:
    """Looks for the first telling row.

    Args:
        chunks: Whole lines; what is no JSON object tells nothing.
        among: The formats that it may have.

    Returns:
        Its format; None where no row has one.
    """
    likeliest = None
    for fields in _objects(chunks):
        possible = possible_formats(fields, among)
        if len({each.name for each in possible}) == 1:
            return possible[0]
        if possible:
            likeliest, among = likeliest or possible[0], possible
    return likeliest


def _kind_of(model: ModelReference) -> RowFormat | None:
    """Gives what a model takes; None where it takes both."""
    if model.chat_only:
        return RowFormat.CHAT
    return RowFormat.TEXT if model.text_only else None


def _objects(chunks: Iterable[bytes]) -> Iterator[Fields]:
    """Parses the lines up to where the caller has seen enough; of a ``data`` list, its entries."""
    for chunk in chunks:
        for line in chunk.split(b"\n"):
            if not line.strip(JSON_WHITESPACE):
                continue
            fields = parse(line)
            if not isinstance(fields, Fields):
                continue
            yield fields
            entries = fields.find("data")
            if isinstance(entries, list):
                yield from (entry for entry in entries if isinstance(entry, Fields))
