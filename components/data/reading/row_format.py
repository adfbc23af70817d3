"""Decides whether a dataset's rows are text or chat."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from kfp_llm_tuning.components.data.reading.fast_check import DECODE_ERRORS
from kfp_llm_tuning.components.data.rows import RowFormat
from kfp_llm_tuning.components.data.sources.parts import Rows
from kfp_llm_tuning.components.data.sources.reader import read_source
from kfp_llm_tuning.components.models.model_references import ModelReference


class _Fields(msgspec.Struct):
    """Which of the telling fields an object has; their values are not looked at."""

    messages: msgspec.Raw | UnsetType = UNSET
    contents: msgspec.Raw | UnsetType = UNSET
    conversations: msgspec.Raw | UnsetType = UNSET
    input_text: msgspec.Raw | UnsetType = UNSET
    output_text: msgspec.Raw | UnsetType = UNSET
    data: msgspec.Raw | UnsetType = UNSET


# The latter two are other tools' names for it: what to write instead is told of a chat row.
_CHAT_FIELDS = ("messages", "contents", "conversations")
_TEXT_FIELDS = ("input_text", "output_text")
_decode_fields = msgspec.json.Decoder(_Fields).decode
_decode_list = msgspec.json.Decoder(list[_Fields]).decode


def row_format_for(model: ModelReference, uri: str) -> RowFormat:
    """Gives the format that a model takes.

    Args:
        model: A text model, a chat model, or one that takes both.
        uri: The training set, whose first telling row decides where the model takes both.

    Returns:
        The format.

    Raises:
        UserError: If the file cannot be opened.
    """
    if model.chat_only:
        return RowFormat.CHAT
    return RowFormat.TEXT if model.text_only else detect_format(uri)


def detect_format(uri: str) -> RowFormat:
    """Reads a dataset up to its first telling row.

    Args:
        uri: The dataset, as `data.sources.files.list_files` takes it.

    Returns:
        The format of the first row that has a field of one; text where none has.

    Raises:
        UserError: If a file cannot be opened.
    """
    lines = (part.lines for part in read_source(uri, "") if isinstance(part, Rows))
    return next(filter(None, map(_format_of_lines, lines)), RowFormat.TEXT)


def _format_of_lines(data: bytes) -> RowFormat | None:
    """Gives the format of the first telling row; what is no JSON object tells nothing."""
    if b"{" not in data:
        return None
    return next(filter(None, map(_format_of_line, data.split(b"\n"))), None)


def _format_of_line(line: bytes) -> RowFormat | None:
    try:
        fields = _decode_fields(line)
        if fields.data is not UNSET and not _format_of(fields):
            return next(filter(None, map(_format_of, _decode_list(fields.data))), None)
    except DECODE_ERRORS:
        return None
    return _format_of(fields)


def _format_of(fields: _Fields) -> RowFormat | None:
    for names, row_format in ((_CHAT_FIELDS, RowFormat.CHAT), (_TEXT_FIELDS, RowFormat.TEXT)):
        if any(getattr(fields, name) is not UNSET for name in names):
            return row_format
    return None
