"""The check of a training and an evaluation set: counts, warnings, figures, strict mode."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import fsspec
import pytest

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.data.reading.fast_check import FastCheck
from kfp_llm_tuning.components.data.reading.findings import Severity, list_problems
from kfp_llm_tuning.components.data.rows import RowFormat
from kfp_llm_tuning.components.data.tasks import Task
from kfp_llm_tuning.components.models.checkpoint_problems import CheckpointUnreachable
from kfp_llm_tuning.components.validation import base_model
from kfp_llm_tuning.components.validation import dataset as dataset_module
from kfp_llm_tuning.components.validation.base_model import ExaminedModel
from kfp_llm_tuning.components.validation.dataset import Request, Validation, validate_dataset
from kfp_llm_tuning.components.validation.validation_report import render_report

Write = Callable[..., str]
# Unlike enough that no two are near duplicates.
WORDS = ("amber", "bison", "cedar", "delta", "ember", "fjord", "grove", "heron", "islet")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes rows as JSONL and gives the path."""

    def write_rows(rows: Iterable[Any], name: str = "train.jsonl") -> str:
        file = tmp_path / name
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return str(file)

    return write_rows


@pytest.fixture
def no_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the tokens out where a test is not about them."""
    monkeypatch.setattr(dataset_module, "examine", lambda *_: ExaminedModel())


def sentence(number: int) -> str:
    """A sentence unlike that of every other number."""
    picked = (WORDS[number * 7 % 9], WORDS[number // 9 % 9], WORDS[number // 81 % 9])
    return f"{' '.join(picked)} {number * 7919 % 100_003:x} {number * 104_729 % 99_991:x}"


def text_rows(count: int, first: int = 0) -> list[dict[str, str]]:
    """Rows without any fault."""
    return [
        {"input_text": f"in {sentence(n)}", "output_text": f"out {sentence(n + 50_000)}"}
        for n in range(first, first + count)
    ]


def chat_rows(count: int, pairs: int = 2, first: int = 0) -> list[dict[str, Any]]:
    """Conversations without any fault."""
    return [
        {
            "messages": [
                {"author": ("user", "assistant")[turn % 2], "content": sentence(n * 20 + turn)}
                for turn in range(2 * pairs)
            ]
        }
        for n in range(first, first + count)
    ]


def check(training: str, evaluation: str = "", **options: Any) -> Validation:
    request = {"large_model_reference": "byte-tiny", "train_steps": 30} | options
    return validate_dataset(Request(training, evaluation, **request))


def messages(validation: Validation, severity: Severity = Severity.ERROR) -> list[str]:
    return [str(problem) for problem in list_problems(validation.findings, severity)]


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
class TestWarnings:
    """Findings that refuse nothing, each with its place."""

    def warn(self, write: Write, *rows: dict[str, Any]) -> list[str]:
        return messages(check(write([*text_rows(100), *rows])), Severity.WARNING)

    def test_duplicate(self, write: Write) -> None:
        assert self.warn(write, text_rows(1, first=4)[0]) == [
            "train.jsonl line 101: the same example stands at line 5."
        ]

    def test_duplicate_but_for_case(self, write: Write) -> None:
        row = {name: f" {text.upper()}  " for name, text in text_rows(1)[0].items()}
        assert self.warn(write, row) == [
            "train.jsonl line 101: the same but for case or white space stands at line 1."
        ]

    def test_near_duplicate(self, write: Write) -> None:
        text = " ".join(map(sentence, range(900, 910)))
        rows = [
            {"input_text": text, "output_text": "first answer"},
            {"input_text": f"{text}!", "output_text": "second answer"},
        ]
        (message,) = self.warn(write, *rows)
        assert message.startswith("train.jsonl line 102: nearly the same input (9")
        assert message.endswith("% alike) stands at line 101.")

    def test_conflict(self, write: Write) -> None:
        row = text_rows(1)[0] | {"output_text": "other"}
        (message,) = self.warn(write, row)
        first = text_rows(1)[0]["output_text"]
        assert message == (
            "train.jsonl line 101: the same input has another output at line 1: "
            f'"{first}" there, "other" here.'
        )

    def test_white_space_only(self, write: Write) -> None:
        assert self.warn(write, {"input_text": "question", "output_text": " \n"}) == [
            "train.jsonl line 101, output_text: output_text is white space only."
        ]

    def test_last_row_of_the_largest_set_is_seen(self, write: Write) -> None:
        rows = text_rows(9_999)
        validation = check(
            write([*rows, rows[0]]), train_steps=2000, large_model_reference="text-bison@001"
        )
        assert messages(validation, Severity.WARNING) == [
            "train.jsonl line 10000: the same example stands at line 1."
        ]
        assert validation.summary.training.advised_on == 10_000
        assert validation.summary.bounded == []

    def test_larger_sets_say_what_was_not_looked_at(self, write: Write) -> None:
        summary = check(
            write(text_rows(10_005)), train_steps=2000, large_model_reference="text-bison@001"
        ).summary
        assert len(summary.bounded) == 1
        assert (
            "the first 10,000 good examples; 5 more were checked for errors" in (summary.bounded[0])
        )

    def test_conversation_lengths(self, write: Write) -> None:
        rows = [*chat_rows(98), *chat_rows(1, pairs=1, first=98), *chat_rows(1, 4, first=99)]
        assert messages(check(write(rows)), Severity.WARNING) == [
            "train.jsonl line 99, messages: the conversation has 1 user-assistant pair. "
            "Allowed: any number; 2 to 3 are advised.",
            "train.jsonl line 100, messages: the conversation has 4 user-assistant pairs. "
            "Allowed: any number; 2 to 3 are advised.",
        ]

    def test_leakage(self, write: Write) -> None:
        rows = text_rows(20, first=500)
        rows[3] = text_rows(1, first=7)[0]
        validation = check(write(text_rows(100)), write(rows, "eval.jsonl"))
        assert messages(validation, Severity.WARNING) == [
            "eval.jsonl line 4: the same input is trained on, at line 8 of the training set. "
            "Remove it from one of the sets: it makes the evaluation look too good."
        ]

    def test_near_leakage(self, write: Write) -> None:
        text = " ".join(map(sentence, range(900, 910)))
        training = [*text_rows(99), {"input_text": text, "output_text": "x"}]
        near = {"input_text": f"{text} and", "output_text": "x"}
        evaluation = write([near, *text_rows(10, first=500)], "eval.jsonl")
        (message,) = messages(check(write(training), evaluation), Severity.WARNING)
        assert message.startswith("eval.jsonl line 1: nearly the same input (9")
        assert message.endswith("% alike) is trained on, at line 100 of the training set.")

    def test_few_epochs(self, write: Write) -> None:
        validation = check(write(text_rows(100)), train_steps=12)
        assert messages(validation, Severity.WARNING) == [
            "train.jsonl: 12 steps of 8 examples, 96 in all: 0.96 epochs. "
            "A part of the data is never seen: raise train_steps or epochs."
        ]

    def test_many_epochs(self, write: Write) -> None:
        validation = check(write(text_rows(100)), train_steps=2000)
        assert messages(validation, Severity.WARNING) == [
            "train.jsonl: 2,000 steps of 8 examples, 16,000 in all: 160 epochs. "
            "The model will learn it by heart: lower train_steps or epochs, or add examples."
        ]


def labelled(label: str, number: int, instruction: str) -> dict[str, str]:
    return {"input_text": instruction + sentence(number), "output_text": label}


@pytest.mark.usefixtures("no_tokenizer")
class TestLabels:
    """Data that looks like a classification."""

    INSTRUCTION = "Classify the following text into one of the following classes: [yes, no] Text: "

    def rows(self, instruction: str = INSTRUCTION) -> list[dict[str, str]]:
        return [labelled(("yes", "no")[n % 2], n, instruction) for n in range(100)]

    def test_good_labels(self, write: Write) -> None:
        validation = check(write(self.rows()))
        assert messages(validation, Severity.WARNING) == []
        assert validation.summary.training.labels == {"yes": 50, "no": 50}

    def test_label_that_occurs_once(self, write: Write) -> None:
        row = labelled("yess", 200, self.INSTRUCTION)
        assert messages(check(write([*self.rows(), row])), Severity.WARNING) == [
            'train.jsonl line 101, output_text: the label "yess" occurs once. Did you mean "yes"?'
        ]

    def test_spellings_of_a_label(self, write: Write) -> None:
        rows = [labelled("Yes", 200 + n, self.INSTRUCTION) for n in range(3)]
        assert messages(check(write([*self.rows(), *rows])), Severity.WARNING) == [
            'train.jsonl line 101 and 2 more lines, output_text: the labels "yes" (50 times) and '
            '"Yes" (3 times) differ in case or white space only.'
        ]

    def test_labels_that_look_the_same(self, write: Write) -> None:
        composed, decomposed = "café", "cafe\u0301"
        rows = self.rows() + [labelled(composed, 200 + n, self.INSTRUCTION) for n in range(5)]
        rows += [labelled(decomposed, 300 + n, self.INSTRUCTION) for n in range(3)]
        evaluation = [labelled("CAFE\u0301", 400, self.INSTRUCTION)]
        evaluation += [labelled(decomposed, 500 + n, self.INSTRUCTION) for n in range(9)]
        validation = check(write(rows), write(evaluation, "eval.jsonl"))
        assert messages(validation, Severity.WARNING) == [
            "train.jsonl line 106 and 2 more lines, output_text: the labels "
            '"caf\\u00e9" (5 times) and "cafe\\u0301" (3 times) look the same. '
            'Write every text in one Unicode form: unicodedata.normalize("NFC", text).',
            "eval.jsonl line 1, output_text: the label "
            '"CAFE\u0301" is not in the training set. Did you mean "café"?',
        ]

    def test_evaluation_label_that_looks_like_a_trained_one(self, write: Write) -> None:
        rows = self.rows() + [labelled("café", 200 + n, self.INSTRUCTION) for n in range(5)]
        evaluation = [labelled("cafe\u0301", 300 + n, self.INSTRUCTION) for n in range(10)]
        evaluation.append(labelled("yes", 400, self.INSTRUCTION))
        validation = check(write(rows), write(evaluation, "eval.jsonl"))
        assert messages(validation, Severity.WARNING) == [
            'eval.jsonl line 1 and 9 more lines, output_text: the label "cafe\\u0301" is not in '
            'the training set. Did you mean "caf\\u00e9"? Write every text in one Unicode form: '
            'unicodedata.normalize("NFC", text).'
        ]

    def test_instruction_missing(self, write: Write) -> None:
        (message,) = messages(check(write(self.rows(""))), Severity.WARNING)
        assert message == (
            "train.jsonl: the outputs look like 2 labels, but 100% of the inputs have no "
            'instruction in common. Begin every input as in "Classify the following text into '
            'one of the following classes: [...] Text: ".'
        )

    def test_evaluation_label_that_is_not_trained(self, write: Write) -> None:
        evaluation = [labelled("unknown", 300 + n, self.INSTRUCTION) for n in range(10)]
        evaluation.append(labelled("yes", 400, self.INSTRUCTION))
        validation = check(write(self.rows()), write(evaluation, "eval.jsonl"))
        assert messages(validation, Severity.WARNING) == [
            'eval.jsonl line 1 and 9 more lines, output_text: the label "unknown" is not in the '
            "training set."
        ]

    def test_one_class(self, write: Write) -> None:
        rows = [labelled("yes", n, self.INSTRUCTION) for n in range(100)]
        evaluation = [labelled("yes", 300 + n, self.INSTRUCTION) for n in range(10)]
        validation = check(write(rows), write(evaluation, "eval.jsonl"))
        assert messages(validation, Severity.WARNING) == [
            'train.jsonl: every output is "yes": the model learns to answer this whatever it is '
            "asked. Add examples with other outputs.",
            'eval.jsonl: every output is "yes": a model that always answers this cannot be told '
            "from a good one. Add examples with other outputs.",
        ]
        assert validation.summary.training.task == Task.CLASSIFICATION

    def test_one_class_and_an_evaluation_set_of_another(self, write: Write) -> None:
        rows = [labelled("yes", n, self.INSTRUCTION) for n in range(100)]
        evaluation = [labelled(("yes", "no")[n % 2], 300 + n, self.INSTRUCTION) for n in range(10)]
        told = messages(check(write(rows), write(evaluation, "eval.jsonl")), Severity.WARNING)
        assert told[1:] == [
            'eval.jsonl line 2 and 4 more lines, output_text: the label "no" is not in the '
            "training set."
        ]

    def test_different_outputs_are_no_labels(self, write: Write) -> None:
        assert check(write(text_rows(100))).summary.training.labels == {}


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
class TestHeldOut:
    """A share of the training set in the place of an evaluation set."""

    def test_both_parts_are_told_and_nothing_leaks(self, write: Write) -> None:
        rows = text_rows(200)
        near = [row | {"input_text": row["input_text"] + "!"} for row in rows[100:150]]
        file = write([*rows, *near, *rows[:7], {"input_text": 1}])
        summary = check(file, evaluation_fraction=0.2).summary
        assert summary.evaluation is not None
        assert (summary.training.good_examples, summary.evaluation.good_examples) == (206, 51)
        assert (summary.training.examples, summary.evaluation.examples) == (207, 51)
        assert summary.errors_by_kind == {"wrong_type": 1, "missing_field": 1}
        assert not {"leakage", "near_leakage"} & set(summary.warnings_by_kind)
        assert summary.warnings_by_kind["near_duplicate"] == 50
        assert summary.warnings_by_kind["duplicate"] == 7
        assert summary.steps is not None and summary.steps.epochs == pytest.approx(240 / 206)

    def test_conversations_are_held_out_whole(self, write: Write) -> None:
        summary = check(write(chat_rows(100, pairs=3)), evaluation_fraction=0.25).summary
        assert summary.evaluation is not None
        assert (summary.training.messages, summary.evaluation.messages) == (450, 150)

    def test_too_few_are_an_error_beside_the_others(self, write: Write) -> None:
        validation = check(write(text_rows(40)), evaluation_fraction=0.1)
        assert validation.summary.evaluation is None
        assert messages(validation) == [
            "evaluation_fraction: 0.1 of 40 examples are 4: too few to evaluate on. Allowed: a "
            "share of at least 10 examples. Give evaluation_fraction=0.25 or more, more examples, "
            "or evaluation_data_uri."
        ]

    def test_not_beside_an_evaluation_set_and_not_most_rows(self, write: Write) -> None:
        file = write(text_rows(100))
        with pytest.raises(UserError, match="exclude one another"):
            check(file, file, evaluation_fraction=0.2)
        with pytest.raises(UserError, match=r"evaluation_fraction: 0\.9 is out of range"):
            check(file, evaluation_fraction=0.9)


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
