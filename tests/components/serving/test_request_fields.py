"""Fields are taken one by one, and every mistake is told with its place."""

from __future__ import annotations

import math
from typing import Any

import pytest

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.serving.request_fields import Fields


class Reading:
    """Fields of an object that stands at ``x``, and the mistakes found in them."""

    def __init__(self, **values: Any) -> None:
        self.problems: list[Problem] = []
        self.fields = Fields(values, "x", self.problems)

    @property
    def told(self) -> list[str]:
        return [str(problem) for problem in self.problems]


def test_null_is_as_good_as_absent() -> None:
    for reading in (Reading(a=None), Reading()):
        fields = reading.fields
        assert not fields.has("a")
        assert fields.text("a", default="z") == "z"
        assert fields.number("a", 0.5, 0, 1) == 0.5
        assert fields.whole("a", 7, 0, 9) == 7
        assert fields.flag("a") is False
        assert fields.object("a") is None
        assert fields.objects("a") == []
        fields.finish()
        assert not reading.problems


@pytest.mark.parametrize("value", [1024, 1024.0])
def test_whole_numbers_may_come_as_floats(value: Any) -> None:
    assert repr(Reading(a=value).fields.whole("a", 1, 1, 2000)) == "1024"


@pytest.mark.parametrize("value", [2**53 + 1, -(2**63), 2**63 - 1])
def test_large_whole_numbers_are_exact(value: int) -> None:
    assert Reading(a=value).fields.whole("a", 0, -(2**63), 2**63 - 1) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0 is out of range."),
        (10, "10 is out of range."),
        (10**400, "is out of range."),
        (1.5, "1.5 is no whole number."),
        (math.inf, "Infinity is no whole number."),
        (math.nan, "NaN is no whole number."),
        (True, "true is no whole number."),
        ("5", "'5' is no whole number."),
        ([5], "a list is no whole number."),
        ({}, "an object is no whole number."),
    ],
)
def test_what_is_no_whole_number(value: Any, expected: str) -> None:
    reading = Reading(a=value)
    assert reading.fields.whole("a", 3, 1, 9) == 3
    [told] = reading.told
    assert told.startswith("x.a: ")
    assert expected in told
    assert told.endswith("Allowed: 1 to 9.")
    assert len(told) < 200


@pytest.mark.parametrize("value", [2.5, -1, 10**400, math.inf, math.nan, True, "1", [], {}])
def test_what_is_no_number(value: Any) -> None:
    reading = Reading(a=value)
    assert reading.fields.number("a", 0.25, 0, 2) == 0.25
    assert reading.told[0].endswith("Allowed: 0 to 2.")


@pytest.mark.parametrize(("value", "empty"), [(5, True), (["a"], True), ({}, True), ("", False)])
def test_what_is_no_text(value: Any, empty: bool) -> None:
    reading = Reading(a=value)
    assert reading.fields.text("a", empty=empty) == ""
    assert reading.problems[0].where == "x.a"


def test_a_text_that_is_missing() -> None:
    reading = Reading()
    reading.fields.text("a")
    assert reading.told == ["x.a: is missing. Allowed: a text."]


@pytest.mark.parametrize("value", [1, 0, "true", []])
def test_what_is_no_boolean(value: Any) -> None:
    reading = Reading(a=value)
    assert reading.fields.flag("a") is False
    assert reading.told[0].endswith("is no boolean. Allowed: true, false.")


def test_objects_know_their_places() -> None:
    reading = Reading(a=[{"b": {"c": 5}}])
    [item] = reading.fields.objects("a")
    inner = item.object("b")
    assert inner is not None
    inner.text("c")
    assert reading.told == ["x.a[0].b.c: 5 is no text. Allowed: a text."]


@pytest.mark.parametrize(("value", "places"), [({}, ["x.a"]), ([{}, 5, "s"], ["x.a[1]", "x.a[2]"])])
def test_what_is_no_list_of_objects(value: Any, places: list[str]) -> None:
    reading = Reading(a=value)
    assert reading.fields.objects("a") == []
    assert [problem.where for problem in reading.problems] == places


@pytest.mark.parametrize("name", ["topp", "top_p", "TopP", "toP"])
def test_unknown_fields_are_told_with_what_may_be_meant(name: str) -> None:
    reading = Reading(**{name: 1})
    reading.fields.has("topP")
    reading.fields.has("seed")
    reading.fields.finish()
    expected = f"x.{name}: no such field. Allowed: topP, seed. Did you mean topP?"
    assert reading.told == [expected]


def test_what_is_unlike_anything() -> None:
    reading = Reading(completely_different=1)
    reading.fields.has("topP")
    reading.fields.finish()
    assert reading.told == ["x.completely_different: no such field. Allowed: topP."]


def test_more_mistakes_than_anybody_reads_are_not_all_told() -> None:
    reading = Reading(**{f"field{number}" * 1000: 1 for number in range(5000)})
    reading.fields.has("field")
    reading.fields.finish()
    assert len(reading.problems) == 20
    assert max(map(len, reading.told)) < 300


def test_what_asks_for_nothing_is_not_refused() -> None:
    reading = Reading(a=[], b="none", c={"type": "text"}, d=True, e=None, f=0)
    harmless = ([], "none", {"type": "text"}, False)
    reading.fields.refuse(dict.fromkeys("abcdef", "is refused."), harmless)
    assert reading.told == ["x.d: is refused.", "x.f: is refused."]
    reading.fields.finish()
    assert len(reading.problems) == 2
