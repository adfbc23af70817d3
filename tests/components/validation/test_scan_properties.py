"""The fast check agrees with the careful one, and nothing at all makes either raise."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kfp_llm_tuning.components.data.formats.format import Format
from kfp_llm_tuning.components.data.formats.published import PUBLISHED_CHAT, PUBLISHED_TEXT
from kfp_llm_tuning.components.data.reading.careful_check import check_line
from kfp_llm_tuning.components.data.reading.fast_check import FastCheck
from kfp_llm_tuning.components.data.reading.findings import Findings, Severity, list_problems
from kfp_llm_tuning.components.data.reading.scan import Scan, scan

PUBLISHED = st.sampled_from([PUBLISHED_TEXT, PUBLISHED_CHAT])
PROPERTY = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

texts = st.text(max_size=12) | st.sampled_from(
    ["input_text", '"input_text": ', "data", "\0", " ", "\\u005f", "user", "assistant", "😀"]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
names = st.sampled_from(
    ["input_text", "output_text", "data", "messages", "context", "author", "content", "role"]
) | st.text(max_size=6)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


def write(value: Any, ascii_only: bool) -> bytes:
    """Writes JSON; what only ASCII can carry (half a surrogate pair) is escaped."""
    return json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")


text_rows = st.fixed_dictionaries(
    {"input_text": texts, "output_text": texts}, optional={"note": values, "data": values}
)
turns = st.lists(
    st.tuples(st.sampled_from(["user", "assistant", "user", "assistant", "bot"]), texts),
    max_size=5,
).map(lambda pairs: [{"author": author, "content": content} for author, content in pairs])
good_turns = st.lists(st.tuples(texts, texts), min_size=1, max_size=3).map(
    lambda pairs: [
        {"author": author, "content": content or "x"}
        for pair in pairs
        for author, content in zip(("user", "assistant"), pair, strict=True)
    ]
)
chat_rows = st.fixed_dictionaries(
    {"messages": good_turns | turns}, optional={"context": texts, "id": values}
)
rows = text_rows | chat_rows
objects = rows | values | st.lists(rows, max_size=3).map(lambda entries: {"data": entries})


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """A line that is good, nearly good, or anything."""
    line = write(draw(objects), draw(st.booleans()))
    spoil = draw(st.integers(0, 11))
    if spoil == 0:
        line = draw(st.binary(max_size=40))
    elif spoil == 1:
        position = draw(st.integers(0, len(line)))
        line = line[:position] + draw(st.binary(max_size=3)) + line[position:]
    elif spoil == 2:
        line = line[: draw(st.integers(0, len(line)))]
    elif spoil == 3:
        line = line.replace(b'"input_text": ', b'"input_text": "a", "input_text": ', 1)
    elif spoil == 4:
        line = line.replace(b'"input_text"', b'"input\\u005ftext"', 1)
    elif spoil == 5:
        line = draw(st.sampled_from([b"", b"  ", b"\t\r", b"\xef\xbb\xbf" + line]))
    elif spoil == 6:
        line = line + draw(st.sampled_from([b"\r", b" ", b",", line]))
    elif spoil == 7:
        line = line.replace(b", ", b",\n", 1)
    elif spoil == 8:
        line = line.replace(b'"author"', b'"author": "user", "author"', 1)
    return line


files = st.tuples(st.lists(lines(), max_size=8), st.booleans()).map(
    lambda parts: b"\n".join(parts[0]) + (b"\n" if parts[1] else b"")
)


def look(file: Path, row_format: Format) -> tuple[Scan, list[Any], Counter[Any], list[str]]:
    findings = Findings(1000)
    visited: list[Any] = []
    scanned = scan(
        str(file),
        row_format,
        findings,
        lambda place, row: visited.append((place, msgspec.to_builtins(row))),
    )
    shown = [str(problem) for level in Severity for problem in list_problems(findings, level)]
    return scanned, visited, findings.counts, shown


@PROPERTY
@given(content=files, row_format=PUBLISHED)
def test_fast_and_careful_check_say_the_same(
    content: bytes, row_format: Format, tmp_path: Path
) -> None:
    file = tmp_path / "train.jsonl"
    file.write_bytes(content)
    fast = look(file, row_format)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FastCheck, "accept_chunk", lambda self, chunk: None)
        by_line = look(file, row_format)
        patch.setattr(FastCheck, "accept_line", lambda self, line: None)
        careful = look(file, row_format)
    assert fast == by_line == careful


@settings(PROPERTY, max_examples=200)
@given(entries=st.lists(rows, min_size=1, max_size=6), ascii_only=st.booleans(), form=PUBLISHED)
def test_chunk_is_accepted_only_when_every_line_is_good(
    entries: list[Any], ascii_only: bool, form: Format
) -> None:
    written = [write(entry, ascii_only) for entry in entries]
    accepted = FastCheck(form.row_format).accept_chunk(b"".join(line + b"\n" for line in written))
    reports = [check_line(line, form) for line in written]
    if accepted is not None:
        assert not any(report.findings for report in reports)
        assert list(accepted) == [row for report in reports for _, row in report.rows]


@PROPERTY
@given(content=st.binary(max_size=400), row_format=PUBLISHED, compressed=st.booleans())
def test_random_bytes_never_raise(
    content: bytes, row_format: Format, compressed: bool, tmp_path: Path
) -> None:
    file = tmp_path / ("train.jsonl.gz" if compressed else "train.jsonl")
    file.write_bytes(content)
    scanned, visited, counts, _ = look(file, row_format)
    errors = sum(count for (level, _, _), count in counts.items() if level == Severity.ERROR)
    assert errors or scanned.examples == scanned.good_examples == len(visited)


@PROPERTY
@given(entries=st.lists(values, max_size=6), row_format=PUBLISHED)
def test_random_json_never_raises(entries: list[Any], row_format: Format, tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    file.write_bytes(b"\n".join(write(entry, True) for entry in entries))
    scanned, visited, _, _ = look(file, row_format)
    assert len(visited) == scanned.good_examples <= max(scanned.examples, scanned.good_examples)


@PROPERTY
@given(cut=st.integers(0, 200), flip=st.integers(0, 200), value=st.integers(0, 255))
def test_damaged_gzip_never_raises(cut: int, flip: int, value: int, tmp_path: Path) -> None:
    whole = gzip.compress(b'{"input_text": "in", "output_text": "out"}\n' * 50)
    damaged = bytearray(whole)
    damaged[flip % len(damaged)] = value
    file = tmp_path / "train.jsonl.gz"
    file.write_bytes(bytes(damaged)[: max(0, len(damaged) - cut)])
    scanned, visited, counts, _ = look(file, PUBLISHED_TEXT)
    assert counts or scanned.good_examples in (0, 50)
    assert len(visited) == scanned.good_examples
