"""Every alarm, by a model that deserves it, and none by one that does not."""

from __future__ import annotations

import pytest

from kfp_llm_tuning.components.data.tasks import Task
from kfp_llm_tuning.components.evaluation.comparison import compare
from kfp_llm_tuning.components.evaluation.headline import headline, tone

ASKED = [("declined card", "billing"), ("late parcel", "delivery"), ("small shoes", "returns")] * 10
REFERENCES = [label for _, label in ASKED]


@pytest.fixture
def judge(make_predictions, preprocess):
    """Compares models that give these answers; the training set has more of billing."""

    def compared(tuned, base=("x",) * 30, references=REFERENCES, training=None):
        rows = training or [*ASKED, *[("my bill", "billing")] * 5]
        # Without the likelihoods of labels, which no alarm looks at.
        task = {"task": Task.CLASSIFICATION}
        return compare(
            make_predictions(base, references, **task),
            make_predictions(tuned, references, **task),
            training_records=preprocess("train", rows),
        )

    return compared


def kinds(evaluation):
    return [alarm.kind for alarm in evaluation.alarms]


def test_a_good_model_raises_none(judge):
    found = judge(REFERENCES)
    assert kinds(found) == []
    assert tone(found) == "good"
    assert headline(found) == (
        "Accuracy of the written answers 1 (base 0, majority answer 0.333, nearest example 0.333)."
    )


def test_always_the_same_answer(judge):
    # The question that the issue saw: by the metrics alone it looks like an improvement.
    found = judge(["billing"] * 30)
    assert found.primary.verdict == "better"
    assert kinds(found) == ["same_answer", "not_above_majority", "not_above_baseline"]
    assert "all 30 questions one answer, 'billing', and for 10 at most" in found.alarms[0].message
    assert tone(found) == "bad"
    assert headline(found).endswith(": always the same answer.")


def test_nearly_always_the_same_answer(judge):
    found = judge(["billing"] * 29 + ["returns"])
    assert "29 of 30 questions one answer" in found.alarms[0].message


def test_one_answer_that_is_right_is_no_alarm_of_its_own(judge):
    found = judge(["billing"] * 30, references=["billing"] * 30)
    assert "same_answer" not in kinds(found)
    # But nothing was learned that a fixed answer does not know.
    assert "not_above_majority" in kinds(found)


def test_not_above_the_majority_answer(judge):
    found = judge(["delivery", "billing", "returns"] * 10)
    assert "not_above_majority" in kinds(found)
    assert "(0.333) is not above one fixed answer" in found.alarms[0].message


def test_not_above_the_best_trivial_baseline(judge, make_predictions):
    # The questions are those of the training set, word for word: its nearest example is right.
    questions = [f"Question {number}" for number in range(1, 31)]
    training = [*zip(questions, REFERENCES, strict=True), *[("another matter", "billing")] * 9]
    found = judge([*REFERENCES[:20], *["x"] * 10], training=training)
    assert kinds(found) == ["not_above_baseline"]
    assert "not above a trivial baseline, the nearest example (1)" in found.alarms[0].message
    assert tone(found) == "bad"


def test_empty_answers(judge):
    assert kinds(judge([*REFERENCES[:28], "", " \n"])) == ["empty_answers"]
    assert kinds(judge([*REFERENCES[:29], ""])) == []


def test_worse_than_the_base_model(judge):
    found = judge([*REFERENCES[:20], *["x"] * 10], base=REFERENCES)
    assert "worse_than_base" in kinds(found)
    assert "(0.667) is worse than the model it was made from (1)" in found.alarms[-1].message


def test_what_is_not_clear_is_neither_good_nor_bad(judge):
    found = judge(REFERENCES, base=[*REFERENCES[:29], "x"])
    assert (kinds(found), tone(found)) == ([], "muted")
    assert headline(found).endswith("no clear difference from the base model.")
