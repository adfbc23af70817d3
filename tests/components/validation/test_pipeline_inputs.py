"""Values come in the types that JSON has, and leave in their own."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.validation.pipeline_inputs import PARAMETERS
from tests.components.validation.pipeline_requests import (
    KEY,
    LOCAL,
    VERTEX,
    Mistake,
    assert_told,
    check,
)

MISTAKES = {
    "half a step": Mistake(
        LOCAL, {"train_steps": 1.5}, "train_steps: 1.5 is not a whole number", ""
    ),
    "steps as text": Mistake(
        LOCAL, {"train_steps": "many"}, "train_steps: 'many' is not a whole", ""
    ),
    "steps as boolean": Mistake(
        LOCAL, {"train_steps": True}, "train_steps: True is not a whole", ""
    ),
    "early stopping as text": Mistake(
        LOCAL,
        {"enable_early_stopping": "maybe"},
        "enable_early_stopping: 'maybe' is not true or false",
        "",
    ),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_each_mistake_has_its_message(kind: str) -> None:
    assert_told(MISTAKES[kind])


@pytest.mark.parametrize("value", ["true", "False", "DEFAULT", True, False])
def test_checkpoint_selection_takes_text_and_booleans(value: Any) -> None:
    check(LOCAL, enable_checkpoint_selection=value)


def test_numbers_come_as_json_has_them() -> None:
    check(LOCAL, train_steps=300.0, learning_rate=-1, seed=7.0)


_ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.lists(st.integers(), max_size=2)
    | st.sampled_from(["vertex", "TPU", "us-west1", "text-bison", "hf://a/b", "gs://x", KEY])
)
_RANDOM = st.fixed_dictionaries({}, optional=dict.fromkeys(PARAMETERS, _ANYTHING))


@given(base=st.sampled_from([VERTEX, LOCAL]), changes=_RANDOM)
def test_random_values_give_settings_or_a_user_error(
    base: dict[str, Any], changes: dict[str, Any]
) -> None:
    try:
        settings = check(base, **changes)
    except UserError as error:
        assert all(problem.what for problem in error.problems)
    else:
        json.dumps(dataclasses.asdict(settings))
