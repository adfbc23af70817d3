from __future__ import annotations

from kfp_llm_tuning.components.evaluation.baselines import majority_answer, trivial_answers
from kfp_llm_tuning.components.evaluation.training_sample import TrainingSample

TRAINING = TrainingSample(
    prompts=(
        "Which team? My card was declined at the till",
        "Which team? The parcel has not arrived yet",
        "Which team? My card is lost",
        "Which team? The shoes are too small",
    ),
    answers=("billing", "delivery", "billing", "returns"),
)


def asked(make_predictions, *prompts):
    predictions = make_predictions(["x"] * len(prompts), ["x"] * len(prompts)).predictions
    return [
        type(row)(**{**{f: getattr(row, f) for f in row.__struct_fields__}, "prompt": prompt})
        for row, prompt in zip(predictions, prompts, strict=True)
    ]


def test_answers_without_a_model(make_predictions):
    rows = asked(
        make_predictions,
        "Which team? Parcel not arrived",
        "Which team? These shoes do not fit",
        "Which team? Good morning",
    )
    answers = trivial_answers(TRAINING, rows)
    assert answers["majority_answer"] == ["billing"] * 3
    # What stands in every prompt is no likeness: the last one is like none.
    assert answers["nearest_example"] == ["delivery", "returns", "billing"]
    assert answers["copied_input"][0] == "Which team? Parcel not arrived"


def test_only_the_last_message_is_copied_where_it_is_known(make_predictions):
    [row] = asked(make_predictions, "user: Hi\nassistant: Hello\nuser: Bye\nassistant:")
    known = type(row)(**{**{f: getattr(row, f) for f in row.__struct_fields__}, "question": "Bye"})
    assert trivial_answers(TrainingSample(), [known]) == {"copied_input": ["Bye"]}


def test_scripts_without_spaces_have_likenesses_too(make_predictions):
    training = TrainingSample(("今天天气很好", "我想取消订单"), ("天气", "订单"))
    rows = asked(make_predictions, "取消我的订单")
    assert trivial_answers(training, rows)["nearest_example"] == ["订单"]


def test_the_majority_is_counted_without_white_space_around():
    assert majority_answer(["a", "b", " b\n", "c"]) == "b"
    assert majority_answer(["first", "second"]) == "first"
