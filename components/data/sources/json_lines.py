"""JSONL: one row a line, as fast as the file is read."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_llm_tuning.components.data.reading.lines import (
    BinaryReader,
    Chunk,
    LongLine,
    read_chunks,
)
from kfp_llm_tuning.components.data.sources.parts import Part, Rows, refuse_long, refuse_rest


def read_json_lines(stream: BinaryReader, file: str) -> Iterator[Part]:
    """Reads a file of one row a line.

    Args:
        stream: The file, decompressed, without a byte order mark.
        file: Its name in findings.

    Yields:
        Whole lines, blank ones included, and what is said of those that are skipped.
    """
    line = 1
    for part in read_chunks(stream):
        if isinstance(part, Chunk):
            yield Rows(part.data, file, line, size=len(part.data) - part.newline_added)
            line += part.data.count(b"\n")
        elif isinstance(part, LongLine):
            yield refuse_long(part, file, line)
            line += 1
        else:
            yield refuse_rest(file, line, part.reason, part.fix, part.size)
