"""Decides whether a dataset's rows are text or chat."""

from __future__ import annotations

from kfp_llm_tuning.components.common.storage import open_input
from kfp_llm_tuning.components.tuning.model_references import ModelReference
from kfp_llm_tuning.components.validation.lines import BYTE_ORDER_MARK, Chunk, read_chunks
from kfp_llm_tuning.components.validation.rows import RowFormat
from kfp_llm_tuning.components.validation.syntax import JSON_WHITESPACE, Fields, parse

_TELLING = {
    **dict.fromkeys(("input_text", "output_text"), RowFormat.TEXT),
    **dict.fromkeys(("messages", "contents", "conversations"), RowFormat.CHAT),
}


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
    """Looks at a file's first lines.

    Args:
        uri: Any URI that fsspec opens.

    Returns:
        The format of the first row that has a field of one; text where none has.

    Raises:
        UserError: If the file cannot be opened.
    """
    with open_input(uri) as stream:
        first = next(read_chunks(stream), None)
    if not isinstance(first, Chunk):
        return RowFormat.TEXT
    for line in first.data.removeprefix(BYTE_ORDER_MARK).splitlines():
        if line.strip(JSON_WHITESPACE):
            for name in _field_names(line):
                if name in _TELLING:
                    return _TELLING[name]
    return RowFormat.TEXT


def _field_names(line: bytes) -> tuple[str, ...]:
    value = parse(line)
    if isinstance(value, Fields) and "data" in value.names:
        entries = value.get("data")
        if isinstance(entries, list) and entries and isinstance(entries[0], Fields):
            return (*value.names, *entries[0].names)
    return value.names if isinstance(value, Fields) else ()
