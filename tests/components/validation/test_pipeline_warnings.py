"""What is legal but surely not meant is told, and nothing else is."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.components.validation.pipeline_requests import KEY, LOCAL, TENSORBOARD, VERTEX, check


@pytest.mark.parametrize("name", ["learning_rate", "learning_rate_multiplier"])
def test_a_rate_of_zero_is_accepted_and_warned_of(name: str) -> None:
    (warning,) = check(VERTEX, **{name: 0.0}).warnings
    assert "the tuned model will be the base model" in warning


def test_one_object_under_two_names_is_one() -> None:
    evaluation = "/gcs/bucket/train.jsonl"
    (warning,) = check(VERTEX, evaluation_data_uri=evaluation).warnings
    assert "The evaluation set is the training set" in warning


def test_early_stopping_by_default_needs_no_evaluation_set() -> None:
    assert check(LOCAL, enable_early_stopping=True).warnings == ()


@pytest.mark.parametrize(
    ("base", "changes", "warning"),
    [
        (LOCAL, {"encryption_spec_key_name": KEY}, "no effect on the platform local"),
        (
            VERTEX,
            {"tpu_training_skip_cmek": True},
            "tpu_training_skip_cmek has no effect: nothing tunes on TPU.",
        ),
        (LOCAL, {"evaluation_data_uri": "train.jsonl"}, "is the training set"),
        (
            LOCAL,
            {"evaluation_data_uri": "eval.jsonl", "train_steps": 10},
            "evaluation_interval 20 is more than train_steps 10",
        ),
        (
            LOCAL,
            {"enable_checkpoint_selection": "true"},
            "enable_checkpoint_selection has no effect",
        ),
        (LOCAL, {"evaluation_interval": 5}, "evaluation_interval has no effect"),
        (LOCAL, {"evaluation_output_root_dir": "out"}, "evaluation_output_root_dir has no effect"),
        (LOCAL, {"tuning_machine": "h100-8"}, "tuning runs on this machine"),
    ],
)
def test_what_is_surely_not_meant_is_a_warning(
    base: dict[str, Any], changes: dict[str, Any], warning: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        settings = check(base, **changes)
    assert len(settings.warnings) == 1
    assert warning in settings.warnings[0]
    assert warning in caplog.text


def test_a_published_request_runs_on_kubeflow_too() -> None:
    settings = check(
        VERTEX,
        platform="kubeflow",
        platform_registry_uri="http://mlflow:5000",
        platform_accelerator="GPU",
        pipeline_region="",
        location="us-central1",
        accelerator_type="GPU",
        tensorboard_resource_id=TENSORBOARD,
        encryption_spec_key_name=KEY,
        tuning_strategy="SPOT",
        tuning_timeout="3600s",
        restart_on_preemption=False,
        parent_model="support",
        version_aliases="champion",
        traffic_percentage=10,
    )
    assert [warning.partition(" has no effect")[0] for warning in settings.warnings] == [
        "encryption_spec_key_name",
        "tuning_strategy",
        "tuning_timeout",
        "restart_on_preemption",
        "location",
        "tensorboard_resource_id",
        "parent_model",
        "version_aliases",
        "traffic_percentage",
    ]
