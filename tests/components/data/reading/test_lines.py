"""Chunks of whole lines, whatever the sizes of blocks and lines."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfp_llm_tuning.components.common.input_stream import InputStream
from kfp_llm_tuning.components.data.reading.lines import (
    BrokenEnd,
    Chunk,
    LongLine,
    count_values,
    read_chunks,
)


@given(
    lines=st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")), max_size=12),
    ended=st.booleans(),
    block=st.integers(1, 40),
    maximum=st.integers(0, 30),
)
def test_every_line_comes_out_once_and_in_order(
    lines: list[bytes], ended: bool, block: int, maximum: int
) -> None:
    content = b"\n".join(lines) + (b"\n" if ended else b"")
    got: list[bytes | int] = []
    for part in read_chunks(io.BytesIO(content), block, maximum):
        if isinstance(part, Chunk):
            assert part.data.endswith(b"\n")
            got += part.data[:-1].split(b"\n")
        else:
            assert isinstance(part, LongLine)
            got.append(part.size)
    expected = content.split(b"\n")
    if not expected[-1]:
        expected.pop()
    # Only a line that reaches beyond its block can be too long: within a block it costs nothing.
    for line, found in zip(expected, got, strict=True):
        assert found == line or (found == len(line) > maximum)


def test_long_lines_are_never_held() -> None:
    class Endless(io.RawIOBase):
        """50 MB without a newline."""

        left = 50_000_000
        largest = 0

        def read(self, size: int = -1) -> bytes:
            size = min(size, self.left)
            self.left -= size
            return b"x" * size

    parts = list(read_chunks(Endless(), 65_536, 100_000))  # type: ignore[arg-type]
    assert parts == [LongLine(50_000_000)]


VALUES = st.recursive(
    st.none() | st.integers(0, 9) | st.text(alphabet='a"\\\\,[{é', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(alphabet='a"\\\\,[', max_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)


def values_of(value: Any) -> int:
    """Counts as a parser makes them."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(values_of, inside))


@given(value=VALUES, ascii=st.booleans())
def test_values_are_counted_without_parsing(value: Any, ascii: bool) -> None:
    counted = count_values(json.dumps(value, ensure_ascii=ascii).encode())
    assert counted / 2 <= values_of(value) <= 2 * counted + 1


@pytest.mark.parametrize("ended", [True, False])
def test_lines_of_too_many_values_are_skipped(ended: bool) -> None:
    lines = [b"[" + b"1," * 50 + b"1]", b'["' + b"1," * 50 + b'"]', b"[" + b"1," * 50 + b"2]"]
    content = b"\n".join(lines) + (b"\n" if ended else b"")
    parts = [*read_chunks(io.BytesIO(content), 64, 1000, maximum_values=40)]
    long = [part for part in parts if isinstance(part, LongLine)]
    read = b"".join(part.data for part in parts if isinstance(part, Chunk))
    assert long == [LongLine(103, values=51)] * 2
    assert read == lines[1] + b"\n"


def test_missing_last_newline_is_added() -> None:
    assert list(read_chunks(io.BytesIO(b"a\nb"))) == [
        Chunk(b"a\n"),
        Chunk(b"b\n", newline_added=True),
    ]


def test_a_broken_end_tells_its_reason_after_all_that_could_be_read() -> None:
    packed = gzip.compress(b"line\n" * 1000)[:-8]
    stream = InputStream(gzip.GzipFile(fileobj=io.BytesIO(packed)), "a.jsonl.gz", "gzip")
    *chunks, end = read_chunks(stream)
    assert b"".join(chunk.data for chunk in chunks if isinstance(chunk, Chunk)) == b"line\n" * 1000
    reason = "the gzip file ends before its end mark: it was cut off"
    assert end == BrokenEnd(reason, "Copy or compress the file again.", 5000)
