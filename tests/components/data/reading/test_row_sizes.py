"""Rows of which far more would be made than they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfp_llm_tuning.components.data.formats.format import Format
from kfp_llm_tuning.components.data.formats.published import PUBLISHED_CHAT, PUBLISHED_TEXT
from kfp_llm_tuning.components.data.reading import row_sizes
from kfp_llm_tuning.components.data.reading import scan as scanning
from kfp_llm_tuning.components.data.reading.findings import Findings, Severity
from kfp_llm_tuning.components.data.reading.row_sizes import may_be_too_large, too_large
from kfp_llm_tuning.components.data.reading.scan import OTHER_FIELDS, scan
from kfp_llm_tuning.components.data.rows import ChatRow, Message, Row, TextRow


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that small rows exceed."""
    monkeypatch.setattr(row_sizes, "MAXIMUM_EXAMPLE_CHARACTERS", 100)
    monkeypatch.setattr(row_sizes, "MAXIMUM_HISTORY_CHARACTERS", 300)


def conversation(pairs: int, characters: int = 10) -> dict[str, Any]:
    turn = [{"author": author, "content": "x" * characters} for author in ("user", "assistant")]
    return {"messages": turn * pairs}


def found(tmp_path: Path, row_format: Format, *rows: dict[str, Any]) -> tuple[list[str], int]:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    findings = Findings(20)
    visited: list[Row] = []
    scanned = scan(str(path), row_format, findings, lambda _, row: visited.append(row))
    assert scanned.good_examples == len(visited)
    assert scanned.examples == len(rows)
    kept = findings.printed(Severity.ERROR)
    assert {finding.kind for finding in kept} <= {"example_too_large"}
    return [str(finding.problem()) for finding in kept], len(visited)


@pytest.mark.usefixtures("small")
def test_long_texts_are_refused_by_line(tmp_path: Path) -> None:
    rows = [{"input_text": "x" * size, "output_text": "y"} for size in (50, 100, 99)]
    told, good = found(tmp_path, PUBLISHED_TEXT, *rows)
    assert good == 2
    assert told == [
        "rows.jsonl line 2: the example has 101 characters. Allowed: at most 100 characters. "
        "No model reads so long a text: leave out what does not matter."
    ]


@pytest.mark.usefixtures("small")
def test_long_conversations_are_refused_by_line(tmp_path: Path) -> None:
    told, good = found(tmp_path, PUBLISHED_CHAT, *map(conversation, (1, 3, 4)))
    assert good == 2
    assert len(told) == 1
    assert told[0].startswith("rows.jsonl line 3: the conversation has 4 answers and 80 characters")


@pytest.mark.usefixtures("small")
def test_examples_of_a_data_list_are_refused_by_path(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"input_text": "x" * size, "output_text": "y"} for size in (50, 100)]
    path.write_text(json.dumps({"data": rows}), encoding="utf-8")
    findings = Findings(20)
    scanned = scan(str(path), PUBLISHED_TEXT, findings, lambda _place, _row: None)
    assert (scanned.examples, scanned.good_examples) == (2, 1)
    (finding,) = findings.printed(Severity.ERROR)
    assert finding.where == "rows.jsonl line 1, data[1]"


@given(
    rows=st.lists(st.tuples(st.integers(1, 30), st.integers(1, 60)), min_size=1, max_size=4),
)
def test_no_closer_look_where_nothing_would_be_found(rows: list[tuple[int, int]]) -> None:
    texts: list[Row] = [TextRow("x" * size, "y") for _, size in rows]
    chats: list[Row] = [
        ChatRow([Message(author, "x" * size) for author in ("user", "assistant")] * pairs)
        for pairs, size in rows
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_sizes, "MAXIMUM_EXAMPLE_CHARACTERS", 100)
        patch.setattr(row_sizes, "MAXIMUM_HISTORY_CHARACTERS", 300)
        for same in (texts, chats):
            size = sum(len(json.dumps(str(row))) for row in same)
            if not may_be_too_large(size, same):
                assert not any(too_large(row, "") for row in same)


def test_names_of_fields_that_are_not_read_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "MAXIMUM_FIELD_NAMES", 3)
    path = tmp_path / "rows.jsonl"
    rows = [
        {"input_text": "q", "output_text": "a", "usual": 1, f"rare{n}" * 50: n} for n in range(40)
    ]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    scanned = scan(str(path), PUBLISHED_TEXT, Findings(20), lambda _place, _row: None)
    assert scanned.ignored_fields["usual"] == 40
    assert scanned.ignored_fields.total() == 80
    assert scanned.ignored_fields[OTHER_FIELDS] >= 30
    assert len(scanned.ignored_fields) <= 8
    assert max(map(len, scanned.ignored_fields)) <= 100
