"""A first look at a source file: digest, size, and whether it holds text or conversations."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from kfp_llm_tuning.components.common.storage import open_input
from kfp_llm_tuning.components.data.reading.lines import Chunk, read_chunks
from kfp_llm_tuning.components.data.reading.row_format import format_of_lines
from kfp_llm_tuning.components.data.rows import RowFormat


@dataclass(frozen=True)
class SourceFile:
    """What is known of a file before its rows are read.

    Attributes:
        row_format: What the first telling row is; text where none tells.
        sha256: Digest after decompression: the same for x.jsonl and x.jsonl.gz.
        byte_count: Size after decompression.
    """

    row_format: RowFormat
    sha256: str
    byte_count: int


def inspect_source(uri: str) -> SourceFile:
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
                row_format = row_format or format_of_lines(data)
    return SourceFile(row_format or RowFormat.TEXT, digest.hexdigest(), byte_count)
