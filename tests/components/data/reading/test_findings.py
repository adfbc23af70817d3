"""How findings name files."""

from __future__ import annotations

import pytest

from kfp_llm_tuning.components.data.reading.findings import name_files


@pytest.mark.parametrize(
    ("uris", "names"),
    [
        (["gs://b/train.jsonl"], ["train.jsonl"]),
        (["gs://b/train.jsonl", ""], ["train.jsonl", ""]),
        (["/d/train.jsonl", "/d/eval.jsonl"], ["train.jsonl", "eval.jsonl"]),
        (["gs://b/1/data.jsonl", "gs://b/2/data.jsonl"], ["1/data.jsonl", "2/data.jsonl"]),
        (["a/x/data.jsonl", "b/x/data.jsonl"], ["a/x/data.jsonl", "b/x/data.jsonl"]),
        (["data.jsonl", "b/data.jsonl"], ["data.jsonl", "b/data.jsonl"]),
        (["b/data.jsonl", "b/data.jsonl"], ["data.jsonl", "data.jsonl"]),
    ],
)
def test_files_are_told_apart_by_the_shortest_names(uris: list[str], names: list[str]) -> None:
    assert name_files(*uris) == names
