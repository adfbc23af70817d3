"""What a format is: how its rows are recognised, read and written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kfp_llm_tuning.components.common.dataset_formats import FormatName
from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.data.reading.findings import Finding
from kfp_llm_tuning.components.data.reading.json_syntax import Fields
from kfp_llm_tuning.components.data.rows import Row, RowFormat


class UnwritableRowError(UserError):
    """A format has no place for something that a row holds."""


@dataclass(frozen=True)
class Format:
    """A format of rows.

    Attributes:
        name: Its name, which formats of texts and of conversations may share; None where rows are
            in no known format.
        title: What messages call it, and rows of it: ``OpenAI chat``.
        row_format: What its rows are made into.
        example: A row, for messages.
        required: The fields that a row must have.
        fields: All fields that are read; others are ignored, and counted.
        recognise: Tells whether an object is probably a row of it, good or bad.
        read: Reads an object, given its path; None where that cannot be done. Errors and warnings
            are added to the list, with their paths.
        write: Writes a row as an object of JSON.
            Raises: UnwritableRowError: If the format has no place for something in it.
        caution: What a reader of such a file should know, told once as a warning.
        claim: Who wants this format, for what is said of a row in another one.
        remedy: What to do about such a row, whose format's name stands for ``{name}``.
        jsonl_only: Whether its rows stand in one JSONL file alone, as the closed models have it.
    """

    name: FormatName | None
    title: str
    row_format: RowFormat
    example: str
    required: tuple[str, ...]
    fields: tuple[str, ...]
    recognise: Callable[[Fields], bool]
    read: Callable[[Fields, str, list[Finding]], Row | None]
    write: Callable[[Row], dict[str, Any]]
    caution: str = ""
    claim: str = "the file is"
    remedy: str = "Write every row in one format."
    jsonl_only: bool = False
