"""The tuner's arguments by their own names, from several places."""

from __future__ import annotations

from typing import Any

import pytest

from kfp_llm_tuning.pipelines.requests.tuner_arguments import put_over


@pytest.mark.parametrize(
    ("earlier", "given", "expected"),
    [
        ({}, {"lora_rank": "4"}, {"lora_rank": "4"}),
        ({"tuner_arguments": {"lora_rank": 8, "seed": 1}}, {"lora_rank": 4}, {"lora_rank": 4}),
        ({"tuner_arguments": {"batch_size": 2}}, {"lora_rank": 4}, {"batch_size": 2}),
        ({"tuner_arguments": {"batch_size": 2}}, {"tuner_arguments": '{"lora_rank": 4}'}, {}),
        ({}, {"tuner_arguments": {"batch_size": 2}, "lora_rank": 4}, {"batch_size": 2}),
    ],
)
def test_later_places_win_argument_by_argument(
    earlier: dict[str, Any], given: dict[str, Any], expected: dict[str, Any]
) -> None:
    values, problems = put_over({"train_steps": 3, **earlier}, given, "options")
    assert problems == []
    assert values["train_steps"] == 3
    assert "lora_rank" not in values
    assert expected.items() <= values["tuner_arguments"].items()
    before = earlier.get("tuner_arguments", {})
    assert before.keys() <= values["tuner_arguments"].keys()
    assert values["tuner_arguments"]["lora_rank"] in (4, "4")


def test_an_argument_that_stands_twice_in_one_place_is_told() -> None:
    given = {"lora_rank": 4, "tuner_arguments": {"lora_rank": 8}}
    _, problems = put_over({}, given, "parameters.yaml")
    assert [str(problem) for problem in problems] == [
        "parameters.yaml: lora_rank: stands twice: by its name and in tuner_arguments. "
        "Leave one out."
    ]


@pytest.mark.parametrize("wrong", ["{", "[1]", 3, None])
def test_what_is_no_object_is_left_to_the_check_of_the_parameters(wrong: Any) -> None:
    values, problems = put_over({}, {"lora_rank": 4, "tuner_arguments": wrong}, "options")
    assert (values, problems) == ({"tuner_arguments": wrong}, [])


def test_other_values_are_put_over_as_they_are() -> None:
    assert put_over({"a": 1, "b": 1}, {"b": 2}, "options") == ({"a": 1, "b": 2}, [])
