"""A share of the training set in the place of an evaluation set."""

from __future__ import annotations

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from tests.components.validation.datasets import Write, chat_rows, check, messages, text_rows


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
