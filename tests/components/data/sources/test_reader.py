"""The same rows are read from every container, and what is wrong is told with its place."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import ipc, parquet

from kfp_llm_tuning.components.data.formats.format import Format
from kfp_llm_tuning.components.data.formats.published import PUBLISHED_CHAT, PUBLISHED_TEXT
from kfp_llm_tuning.components.data.reading.findings import Findings, list_problems
from kfp_llm_tuning.components.data.reading.scan import scan
from kfp_llm_tuning.components.data.rows import Row
from kfp_llm_tuning.components.data.sources.json_array import read_json_array
from kfp_llm_tuning.components.data.sources.parts import Remark
from kfp_llm_tuning.components.data.sources.reader import read_source

Rows = Sequence[dict[str, Any]]


def write_lines(rows: Rows, path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_packed(rows: Rows, path: Path) -> None:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_bytes(gzip.compress(lines.encode()))


def write_array(rows: Rows, path: Path) -> None:
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")


def write_pretty(rows: Rows, path: Path) -> None:
    path.write_text(json.dumps(rows, indent=2), encoding="utf-8-sig")


def write_table(rows: Rows, path: Path, delimiter: str = ",") -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row)) or ["input_text"]
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter=delimiter)
        writer.writerow(columns)
        for row in rows:
            cells = [row.get(name, "") for name in columns]
            writer.writerow([c if isinstance(c, str) else json.dumps(c) for c in cells])


def write_tabs(rows: Rows, path: Path) -> None:
    write_table(rows, path, "\t")


def table_of(rows: Rows) -> pa.Table:
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: [row.get(name) for row in rows] for name in names})


def write_parquet(rows: Rows, path: Path) -> None:
    parquet.write_table(table_of(rows), path, row_group_size=3)


def write_arrow_file(rows: Rows, path: Path) -> None:
    table = table_of(rows)
    with ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


def write_arrow_stream(rows: Rows, path: Path) -> None:
    table = table_of(rows)
    with ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


CONTAINERS: dict[str, Callable[[Rows, Path], None]] = {
    "a.jsonl": write_lines,
    "a.jsonl.gz": write_packed,
    "one_line.json": write_array,
    "pretty.json": write_pretty,
    "a.csv": write_table,
    "a.tsv": write_tabs,
    "a.parquet": write_parquet,
    "file.arrow": write_arrow_file,
    "stream.arrow": write_arrow_stream,
}

CHARACTERS = st.characters(exclude_characters="\x00\r", exclude_categories=["Cs"])
TEXTS = st.text(CHARACTERS, min_size=1, max_size=12)
TEXT_ROWS = st.fixed_dictionaries({"input_text": TEXTS, "output_text": TEXTS})
MESSAGES = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=2).map(
    lambda pairs: [
        {"author": author, "content": content}
        for pair in pairs
        for author, content in zip(("user", "assistant"), pair, strict=True)
    ]
)
CHAT_ROWS = st.fixed_dictionaries({"messages": MESSAGES}, optional={"context": TEXTS})


def read(uri: Path | str, row_format: Format = PUBLISHED_TEXT) -> tuple[list[Row], list[str]]:
    findings = Findings(20)
    rows: list[Row] = []
    scan(str(uri), row_format, findings, lambda _, row: rows.append(row))
    return rows, [str(problem) for problem in list_problems(findings)]


@pytest.mark.parametrize("name", CONTAINERS)
@given(data=st.data())
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_container_gives_the_same_rows(
    name: str, tmp_path: Path, data: st.DataObject
) -> None:
    row_format = data.draw(st.sampled_from([PUBLISHED_TEXT, PUBLISHED_CHAT]))
    kind = TEXT_ROWS if row_format == PUBLISHED_TEXT else CHAT_ROWS
    rows = data.draw(st.lists(kind, min_size=1, max_size=7))
    CONTAINERS[name](rows, tmp_path / name)
    write_lines(rows, tmp_path / "same.jsonl")
    assert read(tmp_path / name, row_format) == read(tmp_path / "same.jsonl", row_format)
    assert len(read(tmp_path / name, row_format)[0]) == len(rows)


GOOD = {"input_text": "a", "output_text": "b"}
BAD = {"input_text": "a", "output_text": 3}
REFUSED = "output_text: must be text, but is a number."


@pytest.mark.parametrize(
    ("name", "place"),
    {
        "a.jsonl": "line 3",
        "one_line.json": "line 1",
        "pretty.json": "line 10",
    }.items(),
)
def test_a_bad_row_is_told_with_its_line(name: str, place: str, tmp_path: Path) -> None:
    CONTAINERS[name]([GOOD, GOOD, BAD, GOOD], tmp_path / name)
    rows, problems = read(tmp_path / name)
    assert len(rows) == 3
    (problem,) = problems
    assert problem.startswith(f"{name} {place}, output_text: ")


@pytest.mark.parametrize("name", ["a.parquet", "file.arrow", "stream.arrow"])
def test_a_bad_row_is_told_with_its_number(name: str, tmp_path: Path) -> None:
    CONTAINERS[name]([GOOD, GOOD, {"input_text": "only"}, GOOD], tmp_path / name)
    rows, problems = read(tmp_path / name)
    assert len(rows) == 3
    (problem,) = problems
    assert problem.startswith(f"{name} row 3")
    assert "output_text" in problem


def test_a_table_counts_lines_within_cells(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        'input_text;output_text\n"two\nlines";yes\n\nlonely;\n"a ""quoted"" one;";no\n',
        encoding="utf-8-sig",
    )
    rows, problems = read(path)
    assert [(row.input_text, row.output_text) for row in rows] == [  # type: ignore[union-attr]
        ("two\nlines", "yes"),
        ('a "quoted" one;', "no"),
    ]
    (problem,) = problems
    assert problem.startswith("a.csv line 5")


BROKEN: dict[str, tuple[str, bytes, list[str]]] = {
    "cells": (
        "a.csv",
        b"input_text,output_text\na,b\na,b,c\n",
        ["a.csv line 3: the row has 3"],
    ),
    "two wrong rows": (
        "a.csv",
        b'input_text,output_text\n"a"x,b\na\na,b\n',
        ["a.csv line 2: the row is no CSV", "a.csv line 3: the row has 1 cells"],
    ),
    "open quote": (
        "a.csv",
        b'input_text,output_text\na,b\n"a,b\nc,d\n',
        ["a.csv line 3: a cell of this row begins with a quote and is not closed"],
    ),
    "no header": (
        "a.csv",
        b"x" * 101 + b",b\na,b\n",
        ["a.csv line 1: the first line is no list of column names"],
    ),
    "column twice": (
        "a.tsv",
        b"text\ttext\na\tb\n",
        ["a.tsv line 1: the first line names"],
    ),
    "not UTF-8": (
        "a.csv",
        b"input_text,output_text\na,caf\xe9\n",
        ["a.csv line 2: byte 0xe9"],
    ),
    "JSON cell": (
        "a.csv",
        b"messages\n\"[{'author': 'user'}]\"\n",
        ["a.csv line 2, messages: the cell is not valid JSON"],
    ),
    "carriage returns": (
        "a.csv",
        b"input_text,output_text\ra,b\r",
        ["a.csv line 1: a line ends with a carriage return alone"],
    ),
    "array cut off": (
        "a.json",
        b'[\n{"input_text": "a", "output_text": "b"},\n{"input_text": "a",\n',
        ["a.json line 3: the element that begins here does not end"],
    ),
    "array not closed": (
        "a.json",
        b'[{"input_text": "a", "output_text": "b"}\n',
        ["a.json line 1: the element that begins here does not end"],
    ),
    "after the array": (
        "a.json",
        b'[{"input_text": "a", "output_text": "b"}]\n\n{"input_text": "a"}\n',
        ["a.json line 3: more follows the array's closing bracket"],
    ),
    "commas": (
        "a.json",
        b'[{"input_text": "a", "output_text": "b"},\n,\n'
        b'{"input_text": "a", "output_text": "b"},\n]',
        [
            "a.json line 2: an element is missing",
            "a.json line 4: a comma stands before the closing bracket",
        ],
    ),
    "open text": (
        "a.json",
        b'[\n{"input_text": "a, "output_text": "b"},\n{"input_text": "a"}]\n',
        ["a.json line 2: a text is not closed on its line"],
    ),
    "no objects": ("a.json", b'[\n1,\n"a"]\n', ["a.json line 2: ", "a.json line 3: "]),
    "Parquet cut off": ("a.parquet", b"PAR1" + b"x" * 50, ["a.parquet row 1: the file is a Parq"]),
    "Arrow cut off": ("a.arrow", b"ARROW1\0\0xxxx", ["a.arrow row 1: the file is an Arrow file"]),
    "pretty object": ("a.json", b'{\n  "input_text": "a"\n}\n', ["a.json: the file is pretty-pri"]),
}


@pytest.mark.parametrize(("name", "content", "expected"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused_with_its_place(
    name: str, content: bytes, expected: list[str], tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    problems = read(tmp_path / name)[1]
    assert len(problems) == len(expected), problems
    for problem, beginning in zip(problems, expected, strict=True):
        assert problem.startswith(beginning)


def test_values_of_columns_become_texts_and_json(tmp_path: Path) -> None:
    schema = pa.schema(
        [
            ("when", pa.timestamp("ns")),
            ("day", pa.date32()),
            ("sum", pa.decimal128(5, 2)),
            ("tags", pa.map_(pa.string(), pa.int64())),
            ("call", pa.struct([("a", pa.string()), ("b", pa.list_(pa.int8()))])),
            ("none", pa.string()),
        ]
    )
    row = {
        "when": 1_700_000_000_000_000_000,
        "day": 0,
        "sum": "1.50",
        "tags": [("x", 1)],
        "call": {"a": None, "b": [1, None]},
        "none": None,
    }
    parquet.write_table(
        pa.Table.from_pylist([row | {"sum": Decimal("1.50")}], schema), tmp_path / "a.parquet"
    )
    (part,) = read_source(str(tmp_path / "a.parquet"), "a.parquet")
    assert json.loads(part.lines) == {  # type: ignore[union-attr]
        "when": "2023-11-14 22:13:20",
        "day": "1970-01-01",
        "sum": "1.50",
        "tags": {"x": 1},
        "call": {"b": [1, None]},
    }


@given(
    rows=st.lists(TEXT_ROWS, min_size=1, max_size=5),
    indent=st.none() | st.integers(0, 3),
    ascii=st.booleans(),
    block=st.integers(1, 30),
)
@settings(max_examples=60)
def test_an_array_is_cut_the_same_at_any_block(
    rows: Rows, indent: int | None, ascii: bool, block: int
) -> None:
    class Small(io.BytesIO):
        """Gives few bytes at a time."""

        def read(self, size: int | None = -1) -> bytes:
            return super().read(block)

    content = json.dumps(list(rows), indent=indent, ensure_ascii=ascii).encode()
    lines: list[bytes] = []
    numbers: list[int] = []
    size = 0
    for part in read_json_array(Small(content), "a.json"):
        assert not isinstance(part, Remark)
        lines += part.lines.splitlines()
        numbers += part.numbers
        size += part.size
    assert [json.loads(line) for line in lines] == rows
    starts = [i for i, line in enumerate(content.split(b"\n"), 1) if line.strip() == b"{"]
    assert numbers == (starts if indent is not None else [1] * len(rows))
    assert size == len(content)
