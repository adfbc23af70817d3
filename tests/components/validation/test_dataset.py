"""The check of a training and an evaluation set: counts, figures, strict mode."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import fsspec
import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.data.reading.fast_check import FastCheck
from kfp_llm_tuning.components.data.reading.findings import Severity
from kfp_llm_tuning.components.data.rows import RowFormat
from kfp_llm_tuning.components.validation import dataset as dataset_module
from kfp_llm_tuning.components.validation.validation_report import render_report
from tests.components.validation.datasets import Write, chat_rows, check, messages, text_rows


@pytest.mark.usefixtures("no_tokenizer")
@pytest.mark.parametrize(
    ("count", "errors", "warnings"),
    [
        (0, ["train.jsonl: the training set has no examples. Allowed: at least 10 and at most "
             "10,000 examples."], []),
        (1, ["train.jsonl: the training set has 1 example. Allowed: at least 10 and at most "
             "10,000 examples."], []),
        (9, ["train.jsonl: the training set has 9 examples. Allowed: at least 10 and at most "
             "10,000 examples."], []),
        (10, [], ["train.jsonl: the training set has 10 examples. Allowed: at least 10 and at "
                  "most 10,000 examples; 100 to 500 or more are advised."]),
        (99, [], ["train.jsonl: the training set has 99 examples. Allowed: at least 10 and at "
                  "most 10,000 examples; 100 to 500 or more are advised."]),
        (100, [], []),
        (10_000, [], []),
        (10_001, ["train.jsonl: the training set has 10,001 examples. Allowed: at least 10 and "
                  "at most 10,000 examples. Choose the best of them."], []),
    ],
)  # fmt: skip
def test_number_of_text_examples(
    count: int, errors: list[str], warnings: list[str], write: Write
) -> None:
    steps = max(1, count // 8)
    validation = check(
        write(text_rows(count)), train_steps=steps + 1, large_model_reference="text-bison@001"
    )
    assert messages(validation) == errors
    assert messages(validation, Severity.WARNING) == warnings
    assert validation.summary.valid == (not errors)


@pytest.mark.usefixtures("no_tokenizer")
def test_bad_rows_count_as_examples(write: Write) -> None:
    rows: list[dict[str, Any]] = [*text_rows(7), {"input_text": 1}, {"data": [{}, {}]}]
    summary = check(write(rows)).summary
    assert (summary.training.examples, summary.training.good_examples) == (10, 7)
    assert "too_few_examples" not in summary.errors_by_kind


@pytest.mark.usefixtures("no_tokenizer")
@pytest.mark.parametrize(("conversations", "valid"), [(9, False), (2500, True), (2501, False)])
def test_number_of_messages(conversations: int, valid: bool, write: Write) -> None:
    validation = check(write(chat_rows(conversations)), large_model_reference="chat-bison@001")
    assert validation.summary.valid == valid
    if conversations == 9:
        assert messages(validation) == [
            "train.jsonl: the training set has 9 conversations. Allowed: at least 10 conversations."
        ]
    if conversations == 2501:
        assert messages(validation) == [
            "train.jsonl: the conversations have 10,004 messages together. "
            "Allowed: at most 10,000 messages. Leave out conversations."
        ]


@pytest.mark.usefixtures("no_tokenizer")
@pytest.mark.parametrize(
    ("count", "errors", "warnings"),
    [
        (9, ["eval.jsonl: the evaluation set has 9 examples. Allowed: 10 to 256 examples."], []),
        (10, [], []),
        (250, [], []),
        (251, [], ["eval.jsonl: the evaluation set has 251 examples. Allowed: 10 to 256 "
                   "examples; at most 250 are advised."]),
        (256, [], ["eval.jsonl: the evaluation set has 256 examples. Allowed: 10 to 256 "
                   "examples; at most 250 are advised."]),
        (257, ["eval.jsonl: the evaluation set has 257 examples. Allowed: 10 to 256 "
               "examples."], []),
    ],
)  # fmt: skip
def test_number_of_evaluation_examples(
    count: int, errors: list[str], warnings: list[str], write: Write
) -> None:
    evaluation = write(text_rows(count, first=1000), "eval.jsonl")
    validation = check(write(text_rows(100)), evaluation, large_model_reference="text-bison@001")
    assert messages(validation) == errors
    assert messages(validation, Severity.WARNING) == warnings


@pytest.mark.usefixtures("no_tokenizer")
def test_sets_of_one_name_are_told_apart(write: Write, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    rows = text_rows(100)
    training = write([*rows, {"input_text": ""}], "one/data.jsonl")
    evaluation = write([*text_rows(20, first=500), {"input_text": ""}], "two/data.jsonl")
    assert messages(check(training, evaluation))[::2] == [
        "one/data.jsonl line 101, input_text: input_text is empty. Allowed: text.",
        "two/data.jsonl line 21, input_text: input_text is empty. Allowed: text.",
    ]


@pytest.mark.usefixtures("no_tokenizer")
def test_file_that_holds_no_rows_is_not_called_too_small(tmp_path: Path) -> None:
    document = tmp_path / "train.jsonl"
    document.write_bytes(b"%PDF-1.7\n")
    assert check(str(document), str(document)).summary.errors_by_kind == {"other_file_format": 2}


@pytest.mark.usefixtures("no_tokenizer")
def test_messages_of_bad_conversations_count(write: Write) -> None:
    rows = chat_rows(2500)
    rows[7]["messages"][2]["content"] = 5
    rows.append({"messages": [{"author": "user", "content": "a"}]})
    file = write([{"data": rows[:20]}, *rows[20:]])
    summary = check(file, large_model_reference="chat-bison@001").summary
    assert summary.errors_by_kind == {
        "wrong_type": 1, "ends_with_user": 1, "too_many_messages": 1,
    }  # fmt: skip
    assert (summary.training.messages, summary.training.training_examples) == (10_001, 4_998)


@pytest.mark.usefixtures("no_tokenizer")
def test_strict_makes_warnings_errors(write: Write) -> None:
    file = write([*text_rows(100), text_rows(1)[0]])
    relaxed, strict = (check(file, strict=strict).summary for strict in (False, True))
    assert relaxed.valid and relaxed.warnings_by_kind["duplicate"] == 1
    assert not strict.valid and strict.warnings == 0
    assert strict.errors_by_kind == relaxed.warnings_by_kind


@pytest.mark.usefixtures("no_tokenizer")
def test_printing_is_limited_and_counting_is_not(write: Write) -> None:
    rows = [{"input_text": n, "output_text": ""} for n in range(500)]
    validation = check(write([*rows, {"x": 1}]), max_printed_problems=4)
    assert validation.summary.errors_by_kind == {
        "wrong_type": 500, "empty_text": 500, "missing_field": 2,
    }  # fmt: skip
    printed = messages(validation)
    assert printed[:2] == [
        "train.jsonl line 1, input_text: input_text is a number (0). Allowed: text.",
        "train.jsonl line 1 and 499 more lines, output_text: output_text is empty. Allowed: text.",
    ]
    assert len(printed) == 5, "each kind is printed"
    assert printed[4] == (
        "499 more not listed; all by kind: wrong_type 500, empty_text 500, missing_field 2."
    )


@pytest.mark.usefixtures("no_tokenizer")
@pytest.mark.parametrize("form", ["bom", "crlf", "no last newline", "blank lines", "gzip"])
def test_harmless_forms_are_accepted(form: str, tmp_path: Path) -> None:
    lines = [json.dumps(row).encode() for row in text_rows(100)]
    plain = b"\n".join(lines) + b"\n"
    content = {
        "bom": b"\xef\xbb\xbf" + plain,
        "crlf": plain.replace(b"\n", b"\r\n"),
        "no last newline": plain[:-1],
        "blank lines": plain.replace(b"\n", b"\n \t\r\n\n") + b"\n",
        "gzip": gzip.compress(plain),
    }[form]
    file = tmp_path / ("train.jsonl.gz" if form == "gzip" else "train.jsonl")
    file.write_bytes(content)
    validation = check(str(file))
    assert (validation.summary.errors, messages(validation, Severity.WARNING)) == (0, [])
    assert validation.summary.training.good_examples == 100
    notes = messages(validation, Severity.NOTE)[:-1]
    read_as = f"{file.name}: read as published text, 100 examples."
    assert read_as in notes
    notes.remove(read_as)
    assert notes == {
        "bom": ["train.jsonl: the file begins with a byte order mark, which is skipped."],
        "blank lines": ["train.jsonl: blank lines are skipped: 201."],
    }.get(form, [])
    expected = len(plain) if form == "gzip" else len(content)
    assert validation.summary.training.bytes == expected


@pytest.mark.usefixtures("no_tokenizer")
def test_crlf_needs_no_slow_path() -> None:
    chunk = b'{"input_text": "a", "output_text": "b"}\r\n' * 3
    assert len(FastCheck(RowFormat.TEXT).accept_chunk(chunk) or ()) == 3


def test_values_over_two_lines_are_no_rows() -> None:
    row = b'{"input_text": "a", "output_text": "b"}'
    chunk = row.replace(b", ", b",\n") + b" " + row + b"\n"
    assert chunk.count(b"\n") == 2
    assert FastCheck(RowFormat.TEXT).accept_chunk(chunk) is None


@pytest.mark.usefixtures("no_tokenizer")
def test_data_lists_and_ignored_fields(write: Write) -> None:
    rows = [row | {"id": 1, "tag": None} for row in text_rows(100)]
    packed = [{"data": rows[:50], "version": 2}, *rows[50:], {"data": rows[:1]}]
    validation = check(write(packed))
    assert validation.summary.errors == 0
    assert validation.summary.training.good_examples == 101
    assert validation.summary.training.ignored_fields == {"id": 101, "tag": 101}
    assert messages(validation, Severity.WARNING) == [
        "train.jsonl line 52, data[0]: the same example stands at line 1, data[0]."
    ]
    assert messages(validation, Severity.NOTE)[1] == (
        'train.jsonl: the field "id" is not read; it stands in 101 examples.'
    )


@pytest.mark.usefixtures("no_tokenizer")
def test_context_with_text_is_an_error(write: Write) -> None:
    assert messages(check(write(text_rows(100)), default_context="You are kind.")) == [
        "default_context: default_context is given, but the rows are text. Allowed: "
        "default_context with chat rows only. "
        "Leave it empty, or put it at the beginning of every input_text."
    ]
    assert check(write(chat_rows(100)), default_context="You are kind.").summary.valid


@pytest.mark.usefixtures("no_tokenizer")
@pytest.mark.parametrize(
    ("model", "rows", "row_format"),
    [
        ("byte-tiny", text_rows(10), "text"),
        ("byte-tiny", chat_rows(10), "chat"),
        ("byte-tiny", [{"data": chat_rows(10)}], "chat"),
        ("text-bison@001", text_rows(10), "text"),
        ("chat-bison", chat_rows(10), "chat"),
        ("codechat-bison@002", chat_rows(10), "chat"),
        ("code-bison", text_rows(10), "text"),
    ],
)
def test_format_follows_the_model(
    model: str, rows: list[Any], row_format: str, write: Write
) -> None:
    summary = check(write(rows), large_model_reference=model).summary
    assert (summary.row_format, summary.errors) == (row_format, 0)


def test_no_file_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file at .*missing\.jsonl"):
        check(str(tmp_path / "missing.jsonl"))


def test_parameters_are_checked_too() -> None:
    with pytest.raises(UserError) as caught:
        check("", accelerator_type="gpux", max_printed_problems=-1)
    assert [str(problem) for problem in caught.value.problems] == [
        "dataset_uri: is empty. Allowed: the URI of a JSONL file.",
        "accelerator_type: 'gpux' is unknown. Allowed: GPU.",
        "max_printed_problems: -1 is too few. Allowed: 1 or more.",
    ]


def test_what_nothing_tunes_on_is_refused() -> None:
    with pytest.raises(UserError, match="accelerator_type: no engine of this version tunes on TPU"):
        check("none.jsonl", accelerator_type="tpu")


def test_files_and_model_that_are_not_there_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        check(str(tmp_path), str(tmp_path / "none.jsonl"), large_model_reference="text-bisn")
    shown = [str(problem) for problem in caught.value.problems]
    expected = ["no model is called", "has no file of rows", "no file at"]
    assert [text in problem for text, problem in zip(expected, shown, strict=True)] == [True] * 3


@pytest.mark.usefixtures("no_tokenizer")
def test_any_fsspec_uri(write: Write) -> None:
    content = Path(write(text_rows(100))).read_bytes()
    with fsspec.open("memory://bucket/train.jsonl.gz", "wb", compression="gzip") as stream:
        stream.write(content)
    assert check("memory://bucket/train.jsonl.gz").summary.training.good_examples == 100


def test_report_escapes_rows_and_names_every_finding(write: Write) -> None:
    rows: list[dict[str, Any]] = text_rows(99)
    rows.append(rows[0] | {"output_text": "<script>alert(1)</script>"})
    rows.append(rows[1])
    rows.append({"input_text": 7, "output_text": "<i>"})
    page = render_report(check(write(rows)))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    for text in ("Not usable yet: 1 error", "train.jsonl line 101", "the same example stands",
                 "input_text is a number (7)", "<svg", "Input tokens"):  # fmt: skip
        assert text in page
    assert not re.search(r'(src|href)="?(https?:)?//', page), "the page needs no network"


@pytest.mark.parametrize(
    ("training", "evaluation", "examples"),
    [
        ("clinc150/train.jsonl", "clinc150/eval.jsonl", 1000),
        ("gsm8k/train.jsonl", "gsm8k/eval.jsonl", 7473),
        ("sgd/train.jsonl", "", 384),
        ("sgd/train_full_dialogues.jsonl", "", 128),
    ],
)
def test_real_datasets_are_good(
    training: str, evaluation: str, examples: int, shared_data: Path
) -> None:
    other = str(shared_data / evaluation) if evaluation else ""
    summary = check(str(shared_data / training), other, train_steps=1000).summary
    assert (summary.errors, summary.training.good_examples) == (0, examples)
    assert summary.training.advised_on == examples
    if training.startswith("clinc150"):
        assert len(summary.training.labels) == 10
        assert "no_instruction" not in summary.warnings_by_kind
    json.loads(summary.to_json())


def test_advice_that_fails_refuses_no_dataset(
    write: Write,
    no_tokenizer: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(dataset_module, "advise", fail)
    assert check(write(text_rows(120))).summary.valid
    assert "were not all looked at" in caplog.text


@pytest.mark.usefixtures("no_tokenizer")
def test_steps_are_epochs_or_what_the_task_is_advised(write: Write) -> None:
    file = write(text_rows(100))
    for epochs, steps, reason in (
        (3, 38, "3 epochs, as given"),
        (-1, 200, "chosen for generation"),
    ):
        summary = check(file, train_steps=300, epochs=epochs).summary
        assert summary.steps is not None
        assert summary.steps.train_steps == steps
        assert summary.steps.reason.startswith(reason)
