"""Inputs that are JSON in a text: what they hold, and what is wrong with all of them at once."""

from __future__ import annotations

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.upload.json_inputs import JsonInputs
from kfp_llm_tuning.components.upload.labels import parse_labels


def test_good_inputs() -> None:
    given = JsonInputs()
    assert given.mapping("resources", '{"limits": {"cpu": 1}}') == {"limits": {"cpu": 1}}
    assert given.strings("labels", '{"team": "a"}') == {"team": "a"}
    assert given.sequence("tolerations", '[{"key": "gpu"}]') == [{"key": "gpu"}]
    assert (given.mapping("resources", ""), given.sequence("tolerations", "")) == ({}, [])
    given.raise_problems()


def test_all_mistakes_are_told_together() -> None:
    given = JsonInputs()
    assert given.mapping("resources", "[1]") == {}
    assert given.strings("labels", '{"team": 1}') == {}
    assert given.sequence("tolerations", "{") == []
    assert given.mapping("environment", "[" * 100_000) == {}
    with pytest.raises(UserError) as caught:
        given.raise_problems()
    assert [str(problem) for problem in caught.value.problems] == [
        "resources: [1] is not a JSON object. Allowed: a JSON object.",
        "labels: {'team': 1} holds other values than strings. Allowed: a JSON object of strings.",
        "tolerations: is not JSON: Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1)",
        "environment: is nested too deeply.",
    ]


@pytest.mark.parametrize(
    "text", ["[]", '{"a": 1}', '{"a": "\\ud800"}', '{"a": "x", "a": "y"}', '"' + "a" * 10**6 + '"']
)
def test_what_is_no_labels_is_refused_in_few_words(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_labels(text)
    assert len(str(caught.value)) < 300
