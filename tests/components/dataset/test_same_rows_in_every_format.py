"""What a model learns does not depend on the format that its rows are written in."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from kfp_llm_tuning.components.common.dataset_formats import FormatName
from kfp_llm_tuning.components.data.artifacts import read_records
from kfp_llm_tuning.components.data.formats.conversations import as_conversation
from kfp_llm_tuning.components.data.formats.registry import write_row
from kfp_llm_tuning.components.data.reading.findings import Findings
from kfp_llm_tuning.components.data.reading.row_format import detect_format
from kfp_llm_tuning.components.data.reading.scan import scan
from kfp_llm_tuning.components.data.rows import ChatRow, Row
from kfp_llm_tuning.components.dataset.preprocess import Source, preprocess_dataset

ROOT = Path(__file__).parents[3]
REAL_DATA = ROOT.parent / "shared/data"
FORMATS = [name for name in FormatName if name != FormatName.PREFERENCE]


def rows_of(path: Path, most: int) -> list[Row]:
    rows: list[Row] = []
    expected = detect_format(str(path))
    scan(str(path), expected, Findings(0), lambda _, row: rows.append(row), window=most)
    assert len(rows) == most
    return rows


def examples_of(
    rows: list[dict[str, object]], tokenizer: PreTrainedTokenizerFast, folder: Path
) -> list[tuple[str, str]]:
    folder.mkdir(parents=True)
    file = folder / "rows.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    preprocess_dataset(Source(str(file), "byte-tiny"), tokenizer, folder / "records")
    return [(record.prompt, record.completion) for record in read_records(folder / "records")]


def preferences(row: Row) -> dict[str, object]:
    *asked, answer = (
        {"role": said.author, "content": said.content} for said in as_conversation(row).messages
    )
    return {"prompt": asked, "chosen": [answer], "rejected": [{**answer, "content": "No idea."}]}


def compare(rows: list[Row], tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    published = [write_row(row, FormatName.PUBLISHED) for row in rows]
    expected = examples_of(published, tokenizer, folder / "expected")
    for name in FORMATS:
        written = [write_row(row, name) for row in rows]
        assert examples_of(written, tokenizer, folder / name) == expected
    if not any(isinstance(row, ChatRow) for row in rows):
        written = [preferences(row) for row in rows]
        assert examples_of(written, tokenizer, folder / "preference") == expected


@pytest.mark.parametrize("template", ["chatml", "llama-3"])
def test_examples_are_the_same(
    template: str, chat_tokenizers: dict[str, PreTrainedTokenizerFast], tmp_path: Path
) -> None:
    texts = rows_of(ROOT / "examples/support/train.jsonl", 20)
    compare(texts, chat_tokenizers[template], tmp_path / "texts")
    pairs = zip(islice(texts, 0, None, 2), islice(texts, 1, None, 2), strict=True)
    conversations: list[Row] = [
        ChatRow(
            [*as_conversation(first).messages, *as_conversation(second).messages],
            f"You are number {number}.",
        )
        for number, (first, second) in enumerate(pairs)
    ]
    compare(conversations, chat_tokenizers[template], tmp_path / "conversations")


@pytest.mark.slow
@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the real datasets are not there")
@pytest.mark.parametrize("name", ["clinc150", "sgd"])
def test_examples_of_real_data_are_the_same(
    name: str, chat_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    compare(rows_of(REAL_DATA / name / "train.jsonl", 200), chat_tokenizer, tmp_path / name)
