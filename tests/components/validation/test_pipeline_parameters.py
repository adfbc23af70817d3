"""What follows from legal parameters, and that all problems are told together."""

from __future__ import annotations

import dataclasses

from kfp_llm_tuning.components.validation.pipeline_parameters import PipelineSettings
from tests.components.validation.pipeline_requests import (
    KEY,
    KUBEFLOW,
    LOCAL,
    TENSORBOARD,
    VERTEX,
    check,
    problems,
)


def test_all_problems_are_told_together() -> None:
    found = problems(
        VERTEX,
        project="",
        large_model_reference="text-bisn",
        location="us-centrl1",
        dataset_uri="",
        train_steps=10**9,
        learning_rate=float("nan"),
        accelerator_type="gpux",
        seed=-1,
        gate_metric="blue",
        encryption_spec_key_name="key",
        tensorboard_resource_id="board",
        tuning_method="lora",
        model_display_name="",
    )
    assert len(found) == 14
    assert len(set(found)) == 14


def test_published_request() -> None:
    settings = check(
        VERTEX,
        location="us-central1",
        accelerator_type="GPU",
        evaluation_data_uri="gs://my-bucket/eval.jsonl",
        enable_checkpoint_selection="true",
        tensorboard_resource_id=TENSORBOARD,
        encryption_spec_key_name=KEY,
        service_account="tuner@my-project.iam.gserviceaccount.com",
    )
    assert settings.machine is not None
    assert settings.machine.machine_type == "a2-ultragpu-8g"
    assert dataclasses.replace(settings, machine=None) == PipelineSettings(
        adapter_training_location="us-central1",
        model_display_name="my-tuned-model",
        model_at_version="text-bison@002",
        model_dash_version="text-bison-002",
        model_location="us-central1",
        regional_endpoint="https://us-central1-aiplatform.googleapis.com/ui",
        service_account="tuner@my-project.iam.gserviceaccount.com",
        use_tpu=False,
        with_batch_prediction_and_evaluation=True,
        with_tensorboard=True,
        machine=None,
    )


def test_location_overrules_the_pipeline_region() -> None:
    settings = check(VERTEX, location="us-west1")
    assert settings.model_location == "us-west1"
    assert settings.regional_endpoint == "https://us-west1-aiplatform.googleapis.com/ui"
    whole = check(VERTEX, api_endpoint="http://127.0.0.1:8080")
    assert whole.regional_endpoint == "http://127.0.0.1:8080"


def test_no_region_is_needed_off_vertex() -> None:
    for platform in ("local", "kubeflow"):
        settings = check(LOCAL, platform=platform, registry_uri="http://mlflow:5000")
        assert settings == PipelineSettings(
            adapter_training_location="",
            model_display_name="my-tuned-model",
            model_at_version="byte-tiny@latest",
            model_dash_version="byte-tiny-latest",
            model_location="",
            regional_endpoint="",
            service_account="",
            use_tpu=False,
            with_batch_prediction_and_evaluation=False,
            with_tensorboard=False,
            machine=None,
            registry_uri="http://mlflow:5000",
        )


def test_a_time_that_nobody_told_is_none() -> None:
    settings = check(KUBEFLOW, run_time="{{$.pipeline_job_create_time_utc}}")
    assert settings.model_display_name == "my-tuned-model"


def test_a_published_request_runs_locally_too() -> None:
    settings = check(
        VERTEX,
        platform="local",
        dataset_uri="train.jsonl",
        location="us-central1",
        pipeline_region="",
        tensorboard_resource_id=TENSORBOARD,
    )
    assert settings.with_tensorboard
    assert settings.machine is None
