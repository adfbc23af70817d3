from __future__ import annotations

import json
from typing import Any

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.tuning.arguments import TuningArguments


def test_json_and_back() -> None:
    arguments = TuningArguments("byte-tiny", train_steps=7, learning_rate=0.5, tuning="full")
    assert TuningArguments.from_json(arguments.to_json()) == arguments


def test_left_out_fields_take_their_defaults() -> None:
    arguments = TuningArguments.from_json('{"model_reference": "byte-tiny"}')
    assert arguments == TuningArguments("byte-tiny")
    assert arguments.early_stopping_patience == 8
    assert arguments.early_stopping_tolerance == 0.001
    assert arguments.evaluation_interval == 20


def test_numbers_that_kfp_local_made_floats_are_whole_again() -> None:
    arguments = TuningArguments.from_json('{"model_reference": "m", "batch_size": 8.0}')
    assert arguments.batch_size == 8
    assert type(arguments.batch_size) is int


def test_whole_numbers_do_for_floats() -> None:
    arguments = TuningArguments.from_json('{"model_reference": "m", "learning_rate": 1}')
    assert type(arguments.learning_rate) is float


def test_overrides_win() -> None:
    payload = '{"model_reference": "m", "batch_size": 8}'
    assert TuningArguments.from_json(payload, {"batch_size": 2}).batch_size == 2


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"train_steps": 0}, "train_steps"),
        ({"train_steps": 1.5}, "train_steps"),
        ({"train_steps": "10"}, "train_steps"),
        ({"train_steps": True}, "train_steps"),
        ({"batch_size": -1}, "batch_size"),
        ({"micro_batch_tokens": -1}, "micro_batch_tokens"),
        ({"learning_rate": -0.5}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"learning_rate": float("inf")}, "learning_rate"),
        ({"learning_rate_multiplier": -2.0}, "learning_rate_multiplier"),
        ({"tuning": "prefix"}, "tuning"),
        ({"schedule": "step"}, "schedule"),
        ({"precision": "fp8"}, "precision"),
        ({"warmup_ratio": 1.5}, "warmup_ratio"),
        ({"lora_rank": 0}, "lora_rank"),
        ({"lora_dropout": 1.0}, "lora_dropout"),
        ({"seed": -1}, "seed"),
        ({"enable_early_stopping": "yes"}, "enable_early_stopping"),
        ({"evaluation_interval": 0}, "evaluation_interval"),
        ({"model_reference": ""}, "model_reference"),
    ],
)
def test_each_mistake_names_its_field(values: dict[str, Any], where: str) -> None:
    with pytest.raises(UserError) as caught:
        TuningArguments.from_values({"model_reference": "m"} | values)
    assert [problem.where for problem in caught.value.problems] == [where]


def test_all_mistakes_are_told_together() -> None:
    with pytest.raises(UserError) as caught:
        TuningArguments("", train_steps=0, schedule="?", learning_rate=-1.0)
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize(
    "payload",
    ["", "[]", "{", '{"batch": 1}', '"text"', "[" * 100_000, '{"seed": NaN}', "9" * 5_000],
)
def test_a_payload_that_is_none_is_a_user_error(payload: str) -> None:
    with pytest.raises(UserError):
        TuningArguments.from_json(payload)


def test_of_very_many_unknown_arguments_the_first_are_told() -> None:
    values = {f"unknown_{number}": 1 for number in range(100_000)}
    with pytest.raises(UserError) as caught:
        TuningArguments.from_json(json.dumps(values))
    assert len(str(caught.value)) < 20_000
    assert "99,980 more: unknown argument" in str(caught.value)


def test_the_payload_is_flat_and_sorted() -> None:
    values = json.loads(TuningArguments("m").to_json())
    assert list(values) == sorted(values)
    assert not any(isinstance(value, dict | list) for value in values.values())


def test_the_multiplier_multiplies_the_rate() -> None:
    arguments = TuningArguments("m", learning_rate=0.002, learning_rate_multiplier=0.5)
    assert arguments.peak_learning_rate == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("steps", "asked", "expected"), [(300, 0, 20), (1000, 0, 60), (5, 0, 20), (300, 7, 7)]
)
def test_checkpoints_fall_on_evaluations_by_default(steps: int, asked: int, expected: int) -> None:
    arguments = TuningArguments("m", train_steps=steps, checkpoint_interval=asked)
    assert arguments.steps_between_checkpoints == expected
