"""Data as Python has it becomes lines of JSON, a row a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.pipelines.python_call.given_data import location_of, write_rows

ROWS = [
    {"messages": [{"author": "user", "content": "Grüße"}, {"author": "assistant", "content": "x"}]},
    {"input_text": "a\nb", "output_text": "c"},
]


def written(data: object, folder: Path) -> list[Any]:
    file = folder / "rows.jsonl"
    write_rows(data, file, "data")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    ("data", "location"),
    [
        ("gs://bucket/rows.jsonl", "gs://bucket/rows.jsonl"),
        (Path("rows.jsonl"), "rows.jsonl"),
        (["a.csv", Path("b.csv")], "a.csv,b.csv"),
        (ROWS, ""),
        (["a.csv", ROWS[0]], ""),
        ([], ""),
    ],
)
def test_paths_and_uris_are_told_from_data(data: object, location: str) -> None:
    assert location_of(data) == location


def test_rows_are_written_as_they_are(tmp_path: Path) -> None:
    assert written(ROWS, tmp_path) == ROWS
    assert written(iter(ROWS), tmp_path) == ROWS


def test_a_field_that_a_frame_has_no_value_for_is_no_field_of_the_row(tmp_path: Path) -> None:
    assert written(pd.DataFrame(ROWS), tmp_path) == ROWS


def test_a_frame_has_its_order_and_no_index(tmp_path: Path) -> None:
    frame = pd.DataFrame({"input_text": list("abc"), "weight": [1, 2, 3]}).iloc[::-1]
    assert written(frame, tmp_path) == [
        {"input_text": "c", "weight": 3},
        {"input_text": "b", "weight": 2},
        {"input_text": "a", "weight": 1},
    ]


def test_arrays_in_a_frame_are_lists_and_other_types_their_text(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"messages": [np.array([{"n": np.int64(1)}])], "when": [pd.Timestamp("2026-01-02")]}
    )
    assert written(frame, tmp_path) == [{"messages": [{"n": 1}], "when": "2026-01-02 00:00:00"}]


def test_what_exports_arrow_is_a_frame(tmp_path: Path) -> None:
    table = pyarrow.table({"input_text": ["a", None], "output_text": ["b", "c"]})
    assert written(table, tmp_path) == [
        {"input_text": "a", "output_text": "b"},
        {"output_text": "c"},
    ]


def test_every_row_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        written([{"input_text": "a"}, "b", {"input_text": "\ud800"}], tmp_path)
    first, second = map(str, raised.value.problems)
    assert first.startswith("data: row 1, 'b', cannot be written: it is no dictionary")
    assert "row 2" in second


@pytest.mark.parametrize(("data", "told"), [([], "no rows"), (5, "no data"), ({}, "no data")])
def test_what_holds_no_rows_is_refused(data: object, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told):
        written(data, tmp_path)
