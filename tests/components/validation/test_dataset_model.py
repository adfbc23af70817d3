"""What the base model says of a dataset: that it is there, and what it cuts off."""

from __future__ import annotations

from pathlib import Path

import pytest

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.data.reading.findings import Severity, list_problems
from kfp_llm_tuning.components.models.checkpoint_problems import CheckpointUnreachable
from kfp_llm_tuning.components.validation import base_model
from tests.components.validation.datasets import Write, chat_rows, check, messages, text_rows


def test_a_missing_library_is_told(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_model, "find_spec", lambda name: None)
    validation = check(write(text_rows(100)))
    assert [str(p) for p in list_problems(validation.findings, Severity.WARNING)] == [
        "large_model_reference: the model could not be checked, nor truncation: torch is not "
        "installed. Install it: pip install 'kfp-llm-tuning[tuning]'."
    ]
    assert validation.summary.model_unchecked == "torch is not installed"
    assert validation.summary.training.input_tokens is None


def test_a_model_that_is_not_there_refuses_the_dataset(write: Write, tmp_path: Path) -> None:
    validation = check(write(text_rows(100)), large_model_reference=str(tmp_path / "nowhere"))
    assert not validation.summary.valid
    assert messages(validation, Severity.ERROR) == [
        f"large_model_reference: no folder at {tmp_path}/nowhere. Allowed: a folder in Hugging "
        "Face layout: config.json, *.safetensors, tokenizer files."
    ]


def test_a_hub_that_does_not_answer_is_no_good_model(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise CheckpointUnreachable(Problem("cannot download it.", "large_model_reference"))

    monkeypatch.setattr("kfp_llm_tuning.components.models.base_models.small_files", fail)
    summary = check(write(text_rows(100)), large_model_reference="qwen3-0.6b").summary
    assert (summary.valid, summary.model_unchecked) == (True, "cannot download it")
    assert summary.warnings_by_kind == {"base_model_not_checked": 1}


def test_tokens_are_those_of_the_model(write: Write) -> None:
    rows = text_rows(98)
    rows.append({"input_text": "x" * 9_000, "output_text": "é" * 600})
    rows.append({"input_text": "y" * 8_190, "output_text": "z" * 1_024})
    validation = check(write(rows))
    assert messages(validation, Severity.WARNING) == [
        # The prompt adds a newline and <bos>; é has two bytes, and byte-tiny's tokens are bytes.
        "train.jsonl line 99, input_text: the input has 9,002 tokens: 810 are cut off. "
        "Allowed: at most 8,192 tokens.",
        "train.jsonl line 99, output_text: the output has 1,200 tokens: 176 are cut off. "
        "Allowed: at most 1,024 tokens.",
    ]
    lengths = validation.summary.training.input_tokens
    assert lengths is not None
    assert (lengths.count, lengths.maximum, lengths.over_limit) == (100, 9_002, 1)
    assert validation.summary.metrics()["output_tokens_truncated"] == 1


def test_tokens_of_conversations(write: Write) -> None:
    rows = chat_rows(100)
    rows[5]["context"] = "c" * 9_000
    rows[6]["messages"][3]["content"] = "d" * 1_030
    found = messages(check(write(rows)), Severity.WARNING)
    assert found[0].startswith("large_model_reference: byte-tiny has no chat template")
    assert found[1].startswith("train.jsonl line 6, messages: the input has 9,1")
    assert found[2] == (
        "train.jsonl line 7, messages[3].content: the output has 1,030 tokens: 6 are cut off. "
        "Allowed: at most 1,024 tokens."
    )


def test_rows_within_their_bytes_need_no_count(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kfp_llm_tuning.components.validation import tokens

    monkeypatch.setattr(tokens, "COUNTED_BYTES", 0)
    rows = text_rows(100)
    rows[70]["input_text"] = "x" * 9_000
    validation = check(write(rows))
    assert messages(validation, Severity.WARNING) == [
        "train.jsonl line 71, input_text: the input has 9,002 tokens: 810 are cut off. "
        "Allowed: at most 8,192 tokens."
    ]
    assert validation.summary.bounded == [
        f"{validation.summary.training.uri}: the token figures leave out 98 examples whose bytes "
        "show that nothing of them is truncated."
    ]
