"""The formats of the sets: found and said, mixed, given, unknown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.data.reading.findings import Severity
from tests.components.validation.datasets import Write, check, messages


def openai_rows(count: int) -> list[dict[str, Any]]:
    return [
        {
            "messages": [
                {"role": "user", "content": f"What is {number} and {number}?"},
                {"role": "assistant", "content": f"It is {2 * number}."},
            ],
            "parallel_tool_calls": True,
        }
        for number in range(count)
    ]


@pytest.mark.usefixtures("no_tokenizer")
def test_open_models_find_the_format_of_each_set_and_say_it(write: Write, tmp_path: Path) -> None:
    training = write(openai_rows(100))
    evaluation = tmp_path / "evaluation.jsonl"
    pairs = [{"instruction": f"Say {number}.", "output": f"{number}!"} for number in range(12)]
    evaluation.write_text("".join(f"{json.dumps(row)}\n" for row in pairs))
    validation = check(training, str(evaluation), large_model_reference="byte-tiny")
    assert messages(validation) == []
    notes = messages(validation, Severity.NOTE)
    assert "train.jsonl: read as OpenAI chat, 100 conversations." in notes
    assert "evaluation.jsonl: read as Alpaca, 12 conversations." in notes
    assert (
        'train.jsonl: the field "parallel_tool_calls" is not read; it stands in 100 examples.'
        in notes
    )
    assert validation.summary.training.training_examples == 100
    assert "unusual_conversation" not in validation.summary.warnings_by_kind


@pytest.mark.usefixtures("no_tokenizer")
def test_closed_names_take_other_formats_only_where_they_are_given(write: Write) -> None:
    training = write(openai_rows(100))
    refused = check(training, large_model_reference="chat-bison@001")
    assert messages(refused) == [
        "train.jsonl line 1 and 99 more lines: the row is OpenAI chat where chat-bison@001 takes "
        'published chat. Allowed: {"messages": [{"author": "user", "content": "..."}, {"author": '
        '"assistant", "content": "..."}]}. Convert the file (kfp-llm-tuning convert), give '
        "dataset_format as openai, or tune an open model, which takes any format."
    ]
    taken = check(training, large_model_reference="chat-bison@001", dataset_format="openai")
    assert taken.summary.valid


@pytest.mark.usefixtures("no_tokenizer")
def test_a_mixture_is_told_with_its_line_and_both_formats(write: Write) -> None:
    rows = openai_rows(100)
    rows[39] = {"contents": [{"role": "user", "parts": [{"text": "a"}]}]}
    validation = check(write(rows), large_model_reference="byte-tiny")
    assert messages(validation) == [
        "train.jsonl line 40: the row is Gemini contents where the file is OpenAI chat. Allowed: "
        '{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": '
        '"..."}]}. Write every row in one format.'
    ]


@pytest.mark.usefixtures("no_tokenizer")
def test_answers_that_are_not_learned_are_no_examples(write: Write) -> None:
    rows = openai_rows(100)
    for row in rows:
        answer = {"role": "assistant", "content": "Let me see.", "weight": 0}
        row["messages"].insert(1, answer)
    summary = check(write(rows), large_model_reference="byte-tiny").summary
    assert (summary.training.training_examples, summary.training.messages) == (100, 300)


@pytest.mark.usefixtures("no_tokenizer")
def test_the_other_answer_of_preference_data_is_warned_of_once(write: Write) -> None:
    rows = [
        {"prompt": f"Is {number} odd?", "chosen": f"See: {number % 2}", "rejected": "What?"}
        for number in range(100)
    ]
    validation = check(write(rows), large_model_reference="byte-tiny")
    assert validation.summary.valid
    assert validation.summary.warnings_by_kind["other_answers"] == 1
    assert (
        "train.jsonl: 100 examples: of each the preferred answer is learned, and the other is not "
        "read: supervised tuning learns one answer."
    ) in messages(validation, Severity.WARNING)


def test_an_unknown_format_is_refused(write: Write) -> None:
    with pytest.raises(UserError, match="dataset_format: .*'parquet'"):
        check(write(openai_rows(10)), dataset_format="parquet")
