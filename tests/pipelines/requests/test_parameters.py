"""The parameter table: equal to the published interface, and strict about what it is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.parameters.pipeline import CHAT, TEMPLATES, TEXT
from kfp_llm_tuning.pipelines.requests.parameters import parse

REQUIRED = {"project": "p", "model_display_name": "m"}
KFP_TYPES = {
    "STRING": str,
    "NUMBER_INTEGER": int,
    "NUMBER_DOUBLE": float,
    "BOOLEAN": bool,
}


@pytest.fixture(params=["tune-large-model.v2.0.0", "tune-large-chat-model.v3.0.0"])
def contract(request: pytest.FixtureRequest, shared_data: Path) -> dict[str, Any]:
    path = shared_data.parent / "contract" / f"{request.param}.yaml"
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)


def test_every_published_input_keeps_type_and_default(contract: dict[str, Any]) -> None:
    parameters = TEMPLATES[contract["template"]]
    published = contract["root"]["inputs"]
    assert published
    for name, facts in published.items():
        assert parameters[name].type is KFP_TYPES[facts["type"]], name
        assert parameters[name].required == facts.get("required", False), name
        assert parameters[name].default == facts.get("default"), name
        assert parameters[name].published, name


def test_own_inputs_are_optional_and_marked() -> None:
    own = {name: entry for name, entry in {**TEXT, **CHAT}.items() if not entry.published}
    assert {"seed", "gate_metric", "evaluation_data_uri"} <= set(own)
    assert not any(entry.required for entry in own.values())


def test_own_inputs_come_after_the_published_ones() -> None:
    for parameters in TEMPLATES.values():
        marks = [entry.published for entry in parameters.values()]
        assert marks == sorted(marks, reverse=True)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("train_steps", "300", 300),
        ("train_steps", 300.0, 300),
        ("learning_rate_multiplier", 1, 1.0),
        ("learning_rate", "-1", -1.0),
        ("enable_early_stopping", "False", False),
        ("enable_early_stopping", True, True),
        ("enable_checkpoint_selection", True, "true"),
        ("enable_checkpoint_selection", "default", "default"),
        ("dataset_uri", "", ""),
    ],
)
def test_values_are_converted_where_the_meaning_stays(
    name: str, value: object, expected: object
) -> None:
    parsed = parse({**REQUIRED, name: value}, TEXT)[name]
    assert parsed == expected
    assert type(parsed) is type(expected)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"accelerator_type:": "GPU"}, "unknown parameter. Did you mean accelerator_type?"),
        ({"train-steps": 3}, "Did you mean train_steps?"),
        ({"learing_rate": 3}, "Did you mean learning_rate?"),
        ({"zzzzzzzz": 3}, "zzzzzzzz: unknown parameter. See kfp-llm-tuning run --help."),
        ({"train_steps": "many"}, "train_steps: 'many' is not a whole number."),
        ({"train_steps": 1.5}, "train_steps: 1.5 is not a whole number."),
        ({"train_steps": True}, "train_steps: True is not a whole number."),
        ({"learning_rate": "fast"}, "learning_rate: 'fast' is not a number."),
        ({"learning_rate": [1]}, "learning_rate: [1] is not a number."),
        ({"enable_early_stopping": "yes"}, "enable_early_stopping: 'yes' is not true or false."),
        ({"dataset_uri": 5}, "dataset_uri: 5 is not text."),
        ({"dataset_uri": None}, "dataset_uri: None is not text."),
        ({"dataset_uri": {"a": 1}}, "is not text."),
        ({"dataset_uri": ["x"] * 10**6}, "dataset_uri: ['x', 'x', 'x', 'x', 'x', 'x', ...] is"),
        ({"train_steps": "9" * 5000}, "9' is not a whole number."),
        ({"learning_rate": "nan"}, "learning_rate: 'nan' is not a number."),
        ({"learning_rate": float("inf")}, "learning_rate: inf is no finite number."),
        ({"default_context": "\ud800"}, "default_context: the text has \\ud800, half"),
        ({"default_context": "a\0"}, "default_context: the text has the character U+0000"),
        ({"default_context": "a" * 100_000}, "default_context: 100,002 bytes,"),
        ({f"p{n}": 1 for n in range(100_000)}, "99,980 more: unknown parameter."),
    ],
)
def test_wrong_values_are_told(values: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse({**REQUIRED, **values}, TEXT)
    assert message in str(caught.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(UserError) as caught:
        parse({"train_steps": "x", "learning_rate": "y", "nonsense": 1}, TEXT)
    assert len(caught.value.problems) == 5
    assert "model_display_name: a value is needed. Give --model-display-name." in str(caught.value)


@given(
    st.dictionaries(
        st.sampled_from([*TEXT, "other"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.lists(st.integers(), max_size=2),
    )
)
def test_any_value_gives_its_type_or_a_user_error(values: dict[str, Any]) -> None:
    try:
        parsed = parse(values, TEXT)
    except UserError:
        return
    assert all(type(value) is TEXT[name].type for name, value in parsed.items())
