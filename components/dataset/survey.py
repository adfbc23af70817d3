"""A first look at a source file: digest, size, and whether it holds text or conversations."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec
from msgspec import UNSET, UnsetType

from kfp_llm_tuning.components.common.storage import open_input
from kfp_llm_tuning.components.validation.lines import BYTE_ORDER_MARK, Chunk, read_chunks
from kfp_llm_tuning.components.validation.rows import DECODE_ERRORS, RowFormat


@dataclass(frozen=True)
class Survey:
    """What is known of a file before its rows are read.

    Attributes:
        row_format: What the first telling row is; text where none tells.
        sha256: Digest after decompression: the same for x.jsonl and x.jsonl.gz.
        byte_count: Size after decompression.
    """

    row_format: RowFormat
    sha256: str
    byte_count: int


class _Keys(msgspec.Struct):
    """Which of the telling fields an object has; their values are not looked at."""

    messages: msgspec.Raw | UnsetType = UNSET
    input_text: msgspec.Raw | UnsetType = UNSET
    output_text: msgspec.Raw | UnsetType = UNSET
    data: msgspec.Raw | UnsetType = UNSET


_decode_keys = msgspec.json.Decoder(_Keys).decode
_decode_list = msgspec.json.Decoder(list[_Keys]).decode


def survey(uri: str) -> Survey:
    """Reads a file once, in flat memory.

    A damaged or overlong part is passed over here: checking the rows refuses it.

    Args:
        uri: The JSONL file, plain or .gz.

    Returns:
        What was found.

    Raises:
        UserError: If the file cannot be opened.
    """
    digest = hashlib.sha256()
    byte_count = 0
    row_format = None
    with open_input(uri) as stream:
        for part in read_chunks(stream):
            if isinstance(part, Chunk):
                data = part.data[:-1] if part.newline_added else part.data
                digest.update(data)
                byte_count += len(data)
                row_format = row_format or _format_of_lines(data)
    return Survey(row_format or RowFormat.TEXT, digest.hexdigest(), byte_count)


def _format_of_lines(data: bytes) -> RowFormat | None:
    lines = data.removeprefix(BYTE_ORDER_MARK).split(b"\n")
    return next(filter(None, map(_format_of_line, lines)), None)


def _format_of_line(line: bytes) -> RowFormat | None:
    try:
        keys = _decode_keys(line)
        if keys.data is not UNSET and not _format_of(keys):
            return next(filter(None, map(_format_of, _decode_list(keys.data))), None)
    except DECODE_ERRORS:
        return None
    return _format_of(keys)


def _format_of(keys: _Keys) -> RowFormat | None:
    if keys.messages is not UNSET:
        return RowFormat.CHAT
    is_text = keys.input_text is not UNSET or keys.output_text is not UNSET
    return RowFormat.TEXT if is_text else None
