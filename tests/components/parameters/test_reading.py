"""One reader: what the ways of values do to them is undone, everything else is told."""

from __future__ import annotations

import math
from typing import Any

import pytest

from kfp_llm_tuning.components.parameters.reading import limit_problems, missing, read
from kfp_llm_tuning.components.parameters.row import Parameter

WHOLE = Parameter("n", int, 1, "", minimum=0, maximum=2**32 - 1)
SHARE = Parameter("x", float, 0.5, "", minimum=0, maximum=0.9)
CHOICE = Parameter("c", str, "a", "", choices=("", "SPOT", "STANDARD"), any_case=True)
SWITCH = Parameter("s", str, "default", "", choices=("true", "false", "default"))
OBJECT = Parameter("o", dict, {}, "")
LIST = Parameter("l", list, [], "")
NEEDED = Parameter("needed_one", str, None, "")


def _read(value: Any, parameter: Parameter, texts: bool = False) -> Any:
    found, problems = read({parameter.name: value}, {parameter.name: parameter}, texts=texts)
    return [str(problem) for problem in problems] or found[parameter.name]


@pytest.mark.parametrize(
    ("value", "parameter", "texts", "expected"),
    [
        (8.0, WHOLE, False, 8),
        (1, SHARE, False, 1.0),
        (True, SWITCH, False, "true"),
        (" 8 ", WHOLE, True, 8),
        ("1e-1", SHARE, True, 0.1),
        ('{"a": [1]}', OBJECT, True, {"a": [1]}),
        ("8", WHOLE, False, ["n: '8' is not a whole number. Allowed: a whole number."]),
        (True, WHOLE, True, ["n: True is not a whole number. Allowed: a whole number."]),
        (2**63, WHOLE, False, [f"n: {2**63} is not a whole number. Allowed: a whole number."]),
        ("nan", SHARE, True, ["x: 'nan' is not a number. Allowed: a number."]),
        (True, CHOICE, True, ["c: True is not text. Allowed: text."]),
        ("many", OBJECT, True, ["o: 'many' is not a JSON object. Allowed: a JSON object."]),
        ("many", LIST, True, ["l: 'many' is not a JSON list. Allowed: a JSON list."]),
        ("[1]", OBJECT, True, ["o: [1] is not a JSON object. Allowed: a JSON object."]),
        ("{", OBJECT, True, ["o: is not JSON: Expecting property name enclosed in double"]),
    ],
)
def test_a_value_is_read_where_its_meaning_stays(
    value: Any, parameter: Parameter, texts: bool, expected: Any
) -> None:
    found = _read(value, parameter, texts)
    if isinstance(expected, list):
        assert len(found) == len(expected)
        assert found[0].startswith(expected[0])
    else:
        assert (found, type(found)) == (expected, type(expected))


def test_a_list_may_be_a_text_of_json() -> None:
    assert _read("[1, 2.5]", LIST, texts=True) == [1, 2.5]


def test_a_value_out_of_its_limits_is_left_out_where_they_count() -> None:
    found, problems = read({"n": -1, "x": 0.5}, {"n": WHOLE, "x": SHARE}, limits=True)
    assert found == {"x": 0.5}
    assert [problem.where for problem in problems] == ["n"]


def test_every_problem_has_its_place() -> None:
    known = {"lora_rank": WHOLE, "share": SHARE}
    values = {"lora-rank": 1, "lora_rank": "x", "share": []}
    _, problems = read(values, known, what="unknown argument.", place="tuner_arguments: ")
    assert [problem.where for problem in problems] == [
        "tuner_arguments: lora-rank",
        "tuner_arguments: n",
        "tuner_arguments: x",
    ]
    assert problems[0].fix == "Did you mean lora_rank?"


@pytest.mark.parametrize(
    ("value", "parameter", "told"),
    [
        (-1, WHOLE, "n: -1 is out of range. Allowed: from 0 to 4,294,967,295."),
        (math.nan, SHARE, "x: nan is out of range. Allowed: from 0 to 0.9."),
        ("spots", CHOICE, "c: 'spots' is unknown. Allowed: SPOT, STANDARD."),
    ],
)
def test_limits_and_choices_are_the_rows(value: Any, parameter: Parameter, told: str) -> None:
    assert [str(problem) for problem in limit_problems(value, parameter)] == [told]


def test_what_is_within_is_no_problem() -> None:
    for value, parameter in (
        (0, WHOLE),
        (0.9, SHARE),
        ("spot", CHOICE),
        ("", CHOICE),
        ({}, OBJECT),
    ):
        assert limit_problems(value, parameter) == []


def test_what_is_needed_is_asked_for_by_its_option() -> None:
    (problem,) = missing({}, {"needed_one": NEEDED, "n": WHOLE})
    assert str(problem) == "needed_one: a value is needed. Give --needed-one."
