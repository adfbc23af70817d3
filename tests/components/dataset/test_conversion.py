"""Rows written in another format are the rows that they were."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from kfp_llm_tuning.components.common.dataset_formats import FormatName
from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.data.formats.conversations import as_conversation
from kfp_llm_tuning.components.data.formats.format import Format, UnwritableRowError
from kfp_llm_tuning.components.data.formats.registry import FORMATS, write_row
from kfp_llm_tuning.components.data.reading.findings import Findings, list_problems
from kfp_llm_tuning.components.data.reading.row_format import detect_format
from kfp_llm_tuning.components.data.reading.scan import scan
from kfp_llm_tuning.components.data.rows import ChatRow, Message, Row, TextRow, ToolCall
from kfp_llm_tuning.components.dataset.conversion import check_suffix, convert_dataset

TARGETS = [name for name in FormatName if name != FormatName.PREFERENCE]


def write(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def convert(uri: str, target: FormatName, path: Path) -> str:
    with path.open("wb") as stream:
        convert_dataset(uri, detect_format(uri), target, stream, path.suffix)
    return str(path)


def read(uri: str, expected: Format | None = None) -> list[Row]:
    findings = Findings(20)
    rows: list[Row] = []
    scan(uri, expected or detect_format(uri), findings, lambda _, row: rows.append(row))
    assert not list_problems(findings)
    return rows


WORDS = st.text("abc é'\"{[,\n", min_size=1, max_size=8).filter(str.strip)
TEXT_ROWS = st.builds(TextRow, WORDS, WORDS)
PAIRS = st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=3)
CHAT_ROWS = st.builds(
    lambda pairs, context: ChatRow(
        [
            Message(author, said)
            for pair in pairs
            for author, said in zip(("user", "assistant"), pair, strict=True)
        ],
        **({"context": context} if context else {}),
    ),
    PAIRS,
    st.none() | WORDS,
)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
@given(
    rows=st.lists(TEXT_ROWS, min_size=1, max_size=3) | st.lists(CHAT_ROWS, min_size=1, max_size=3),
    first=st.sampled_from(TARGETS),
    second=st.sampled_from(TARGETS),
)
@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
def test_there_and_back_gives_the_same_rows(
    suffix: str, tmp_path: Path, rows: list[Row], first: FormatName, second: FormatName
) -> None:
    try:
        there = write(tmp_path / "first.jsonl", [write_row(row, first) for row in rows])
        [write_row(row, second) for row in read(there)]
    except UnwritableRowError:
        assume(False)
    other = convert(there, second, tmp_path / f"second{suffix}")
    back = convert(other, first, tmp_path / "back.jsonl")
    # A format of conversations has no texts: they come back as questions with an answer.
    assert list(map(as_conversation, read(back))) == list(map(as_conversation, read(there)))


def test_what_the_target_cannot_hold_is_told_with_its_lines(tmp_path: Path) -> None:
    call = Message("assistant", "", tool_calls=(ToolCall("clock", {}, "1"),))
    answer = Message("tool", "noon", name="clock", tool_call_id="1")
    asks = ChatRow([Message("user", "time?"), call, answer, Message("assistant", "Noon.")])
    plain = ChatRow([Message("user", "a"), Message("assistant", "b")])
    uri = write(
        tmp_path / "train.jsonl", [write_row(row, FormatName.OPENAI) for row in (plain, asks, asks)]
    )
    output = io.BytesIO()
    with pytest.raises(UserError) as caught:
        convert_dataset(uri, detect_format(uri), FormatName.PUBLISHED, output)
    assert "train.jsonl line 2 and 1 more line" in str(caught.value)
    assert not output.getvalue()


def test_bad_rows_are_all_told_and_nothing_is_written(tmp_path: Path) -> None:
    good = {"input_text": "a", "output_text": "b"}
    uri = write(tmp_path / "train.jsonl", [good, {"input_text": "a"}, good, {"output_text": 3}])
    output = io.BytesIO()
    with pytest.raises(UserError) as caught:
        convert_dataset(uri, detect_format(uri), FormatName.OPENAI, output)
    told = str(caught.value)
    assert "train.jsonl line 2" in told
    assert "train.jsonl line 4" in told
    assert not output.getvalue()


def test_an_empty_text_has_no_cell(tmp_path: Path) -> None:
    row = {"context": "", "messages": [{"author": "user", "content": "a"}]}
    row["messages"] += [{"author": "assistant", "content": "b"}]  # type: ignore[operator]
    uri = write(tmp_path / "train.jsonl", [row])
    with pytest.raises(UserError, match="line 1: context is empty, and an empty cell of a table"):
        convert(uri, FormatName.PUBLISHED, tmp_path / "out.csv")


def test_other_endings_are_refused() -> None:
    check_suffix(".tsv", "OUT")
    with pytest.raises(UserError, match=r"OUT: files that end in .parquet are not written"):
        check_suffix(".parquet", "OUT")


def test_every_format_has_a_target() -> None:
    assert {each.name for each in FORMATS} - set(TARGETS) == {FormatName.PREFERENCE}
