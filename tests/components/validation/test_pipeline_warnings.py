"""What is legal but surely not meant is told, and nothing else is."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from kfp_llm_tuning.components.parameters.pipeline import TEXT
from kfp_llm_tuning.components.parameters.tuner import FURTHER_ARGUMENTS
from tests.components.validation.pipeline_requests import (
    KEY,
    LOCAL,
    PREFIX,
    TENSORBOARD,
    VERTEX,
    check,
)


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
        (LOCAL, {"encryption_spec_key_name": KEY}, "no effect here: files are encrypted"),
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
        (LOCAL, {"primary_metric": "rougeL"}, "primary_metric has no effect"),
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


@pytest.mark.parametrize("name", [name for name in FURTHER_ARGUMENTS if name.startswith("lora_")])
def test_an_argument_of_adapters_has_no_effect_where_every_weight_is_tuned(name: str) -> None:
    given = {"tuner_arguments": {name: FURTHER_ARGUMENTS[name].default}}
    (warning,) = check(LOCAL, tuning_method="full", **given).warnings
    assert warning == f"{name} has no effect: it needs adapter tuning (tuning_method adapter)."
    assert check(LOCAL, tuning_method="adapter", **given).warnings == ()


@pytest.mark.parametrize(
    ("changes", "has_effect"),
    [
        ({"evaluation_data_uri": "eval.jsonl"}, True),
        ({"evaluation_data_uri": "eval.jsonl", "enable_early_stopping": False}, False),
        ({}, False),
    ],
)
def test_patience_needs_early_stopping_and_evaluation_data(
    changes: dict[str, Any], has_effect: bool
) -> None:
    warnings = check(LOCAL, tuner_arguments={"early_stopping_patience": 2}, **changes).warnings
    told = "early_stopping_patience has no effect: it needs early stopping and evaluation data."
    assert warnings == (() if has_effect else (told,))


def test_whatever_the_table_gives_to_vertex_ai_alone_is_told_on_kubeflow() -> None:
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
        tpu_training_skip_cmek=True,
        api_endpoint="vertex.test",
        tuning_machine="h100-8",
        tuning_machine_count=2,
        tuning_strategy="FLEX_START",
        tuning_max_wait="60s",
        tuning_timeout="3600s",
        restart_on_preemption=False,
        network_attachment="projects/my-project/regions/us-central1/networkAttachments/tuner",
        parent_model="support",
        version_aliases="champion",
        endpoint_resource_name=f"{PREFIX}/endpoints/123",
        traffic_percentage=10,
    )
    # A managed dataset is refused where there are none.
    expected = [name for name, row in TEXT.items() if row.platforms and name != "dataset_name"]
    told = [warning.partition(" has no effect") for warning in settings.warnings]
    assert [name for name, _, _ in told] == expected
    assert "it is for Vertex AI" in told[expected.index("api_endpoint")][2]
    assert "is as the pipeline was compiled" in told[expected.index("tuning_timeout")][2]
