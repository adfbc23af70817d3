"""What refuses nothing and deserves a look: duplicates, leakage, labels."""

from __future__ import annotations

from typing import Any

import pytest

from kfp_llm_tuning.components.data.reading.findings import Severity
from kfp_llm_tuning.components.data.tasks import Task
from tests.components.validation.datasets import (
    Write,
    chat_rows,
    check,
    messages,
    sentence,
    text_rows,
)


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
