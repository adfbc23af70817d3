"""Writes values that a container holds as lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from kfp_llm_tuning.components.data.reading.lines import CHUNK_BYTES, LongLine, PendingLine
from kfp_llm_tuning.components.data.sources.parts import Part, Remark, Rows, refuse_long


def _as_json(value: Any) -> Any:
    """Makes Python values of NumPy's; of times, decimals and the like their text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


_encode = msgspec.json.Encoder(enc_hook=_as_json).encode


def encode_row(row: Mapping[str, Any]) -> bytes:
    """Writes a row as a line.

    Args:
        row: Values by the names of fields. Texts may hold half surrogates: bytes that were no
            UTF-8, as ``surrogateescape`` reads them, are those bytes again.

    Returns:
        JSON on one line, without a newline.
    """
    try:
        return _encode(row)
    except UnicodeEncodeError:
        text = json.dumps(row, ensure_ascii=False, default=_plain)
        return text.encode("utf-8", "surrogateescape")


def _plain(value: Any) -> Any:
    return json.loads(_encode(value))


def batch_rows(
    rows: Iterable[tuple[int, bytes | Remark]], file: str, unit: str = "line"
) -> Iterator[Part]:
    """Puts lines together into parts of the size in which they are checked fastest.

    Args:
        rows: Number of each row, and its line or what is said in its place.
        file: The file, as findings name it.
        unit: What the numbers count.

    Yields:
        The rows in their order; those that are too long are told of instead.
    """
    lines: list[bytes] = []
    numbers: list[int] = []
    size = 0
    for number, row in rows:
        remark = row if isinstance(row, Remark) else _refuse(row, file, number, unit)
        if remark or size > CHUNK_BYTES:
            if lines:
                yield Rows(b"\n".join([*lines, b""]), file, 1, tuple(numbers), unit, size)
            lines, numbers, size = [], [], 0
        if remark:
            yield remark
        elif isinstance(row, bytes):
            lines.append(row)
            numbers.append(number)
            size += len(row) + 1
    if lines:
        yield Rows(b"\n".join([*lines, b""]), file, 1, tuple(numbers), unit, size)


def _refuse(row: bytes, file: str, number: int, unit: str) -> Remark | None:
    long: LongLine | None = PendingLine().long_line(row)
    return refuse_long(long, file, number, unit) if long else None
