"""Every rule on pipeline parameters, the message of each, and what follows from legal ones."""

from __future__ import annotations

import dataclasses
import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.models import implemented
from kfp_llm_tuning.components.models.implemented import Implementation
from kfp_llm_tuning.components.validation.pipeline_inputs import PARAMETERS
from kfp_llm_tuning.components.validation.pipeline_parameters import (
    PipelineParameters,
    PipelineSettings,
    validate_pipeline_parameters,
)

PREFIX = "projects/my-project/locations/us-central1"
KEY = f"{PREFIX}/keyRings/ring/cryptoKeys/key"
TENSORBOARD = f"{PREFIX}/tensorboards/123"

VERTEX: dict[str, Any] = {
    "platform": "vertex",
    "project": "my-project",
    "model_display_name": "my-tuned-model",
    "dataset_uri": "gs://bucket/train.jsonl",
    "pipeline_region": "us-central1",
    "large_model_reference": "text-bison@002",
}
LOCAL: dict[str, Any] = {
    "platform": "local",
    "model_display_name": "my-tuned-model",
    "dataset_uri": "train.jsonl",
    "large_model_reference": "byte-tiny",
}
KUBEFLOW: dict[str, Any] = {
    **LOCAL,
    "platform": "kubeflow",
    "dataset_uri": "s3://bucket/train.jsonl",
    "platform_registry_uri": "http://mlflow.kubeflow:5000",
    "platform_accelerator": "GPU",
}


def check(base: dict[str, Any], **changes: Any) -> PipelineSettings:
    return validate_pipeline_parameters(PipelineParameters(**{**base, **changes}))


def problems(base: dict[str, Any], **changes: Any) -> list[str]:
    with pytest.raises(UserError) as caught:
        check(base, **changes)
    return [str(problem) for problem in caught.value.problems]


BROKEN = {
    "unknown platform": (LOCAL, {"platform": "vertx"}, "platform: 'vertx' is unknown.", "vertex?"),
    "unknown template": (LOCAL, {"template": "tune"}, "template: 'tune' is unknown.", "tune-large"),
    "unknown region": (
        VERTEX,
        {"location": "us-centrl1"},
        "location: 'us-centrl1'",
        "us-central1?",
    ),
    "unknown region locally": (
        LOCAL,
        {"location": "mars-1"},
        "location: 'mars-1' is no",
        "us-east4",
    ),
    "unknown pipeline region": (
        VERTEX,
        {"pipeline_region": "us-west9", "accelerator_type": "GPU"},
        "pipeline_region: 'us-west9' is no supported region",
        "Did you mean us-west",
    ),
    "unknown accelerator": (
        VERTEX,
        {"accelerator_type": "NPU"},
        "'NPU' is unknown",
        "Allowed: GPU",
    ),
    "unknown accelerator locally": (
        LOCAL,
        {"accelerator_type": "x"},
        "'x' is unknown",
        "Allowed: GPU",
    ),
    "TPU": (
        VERTEX,
        {"accelerator_type": "tpu"},
        "accelerator_type: no engine of this version tunes on TPU.",
        "Allowed: GPU. Give accelerator_type=GPU: then tuning runs in us-central1.",
    ),
    "TPU by the region": (
        VERTEX,
        {"pipeline_region": "europe-west4"},
        "is empty, which means TPU in europe-west4, and no engine of this version tunes on TPU.",
        "Give accelerator_type=GPU: then tuning runs in us-central1.",
    ),
    "TPU locally": (
        LOCAL,
        {"accelerator_type": "TPU"},
        "accelerator_type: no engine of this version tunes on TPU.",
        "Give accelerator_type=GPU.",
    ),
    "TPU by the machine": (
        VERTEX,
        {"pipeline_region": "us-west1", "tuning_machine": "tpu-v6e-4"},
        "tuning_machine: tpu-v6e-4 is a TPU machine, and no engine of this version tunes on TPU.",
        "Allowed: a100-80gb-8",
    ),
    "TPU compiled in": (
        KUBEFLOW,
        {"platform_accelerator": "TPU"},
        "the pipeline was compiled for TPU, and no engine of this version tunes on TPU.",
        "Compile it again",
    ),
    "no accelerator for the region": (
        VERTEX,
        {"pipeline_region": "us-west1"},
        "accelerator_type: is empty, and the region 'us-west1' has no default",
        "Allowed: GPU (the default in us-central1)",
    ),
    "no data": (LOCAL, {"dataset_uri": ""}, "there is no training data", "Give dataset_uri"),
    "two sets of data": (
        VERTEX,
        {"dataset_name": f"{PREFIX}/datasets/1"},
        "dataset_uri and dataset_name exclude one another",
        "Give one of them",
    ),
    "managed dataset elsewhere": (
        LOCAL,
        {"dataset_uri": "", "dataset_name": f"{PREFIX}/datasets/1"},
        "managed datasets are Vertex AI's, and the platform is local",
        "Give dataset_uri",
    ),
    "malformed managed dataset": (
        VERTEX,
        {"dataset_uri": "", "dataset_name": "mydata"},
        "'mydata' is no managed dataset",
        "locations/REGION/datasets/NUMBER",
    ),
    "local path on Vertex": (
        VERTEX,
        {"dataset_uri": "train.jsonl"},
        "dataset_uri: 'train.jsonl' is a path of one machine",
        "gs://BUCKET/PATH",
    ),
    "local evaluation set on Vertex": (
        VERTEX,
        {"evaluation_data_uri": "/data/eval.jsonl"},
        "evaluation_data_uri: '/data/eval.jsonl' is a path of one machine",
        "Copy it to a bucket",
    ),
    "evaluations below a file": (
        LOCAL,
        {"evaluation_output_root_dir": f"{__file__}/below"},
        "evaluation_output_root_dir: cannot write to '",
        "is a file. Allowed: a folder that can be made",
    ),
    "blank evaluation set": (
        LOCAL,
        {"evaluation_data_uri": " "},
        "evaluation_data_uri: is blank",
        "",
    ),
    "unknown strategy": (
        VERTEX,
        {"tuning_strategy": "SPOTS"},
        "tuning_strategy: 'SPOTS' is unknown.",
        "Did you mean SPOT?",
    ),
    "flexible start without a GPU": (
        VERTEX,
        {"tuning_strategy": "flex_start", "accelerator_type": "", "tuning_machine": "cpu-16"},
        "tuning_strategy: FLEX_START obtains machines with GPUs only.",
        "STANDARD or SPOT",
    ),
    "wait without a unit": (
        VERTEX,
        {"tuning_max_wait": "3600"},
        "tuning_max_wait: '3600' is no duration.",
        "such as 86400s",
    ),
    "timeout in hours": (
        LOCAL,
        {"tuning_timeout": "24h"},
        "tuning_timeout: '24h' is no duration.",
        "seconds",
    ),
    "malformed attachment": (
        VERTEX,
        {"network_attachment": "my-attachment"},
        "network_attachment: 'my-attachment' has another form",
        "projects/PROJECT/regions/REGION/networkAttachments/NAME",
    ),
    "parent model elsewhere": (
        VERTEX,
        {"parent_model": "projects/my-project/locations/us-east4/models/1"},
        "parent_model: is in us-east4, but the model is uploaded to us-central1",
        "Give one, or change location",
    ),
    "parent model with blanks": (
        VERTEX,
        {"parent_model": "My model"},
        "parent_model: 'My model' names no model",
        "full resource name",
    ),
    "parent model of another kind": (
        VERTEX,
        {"parent_model": f"{PREFIX}/endpoints/1"},
        f"parent_model: '{PREFIX}/endpoints/1' has another form",
        "models/MODEL",
    ),
    "endpoint elsewhere": (
        VERTEX,
        {"endpoint_resource_name": "projects/my-project/locations/us-east4/endpoints/1"},
        "endpoint_resource_name: is in us-east4",
        "a resource of us-central1",
    ),
    "endpoint without its full name": (
        LOCAL,
        {"endpoint_resource_name": "12"},
        "endpoint_resource_name: '12' has another form",
        "endpoints/ENDPOINT",
    ),
    "malformed alias": (
        VERTEX,
        {"version_aliases": "champion,2"},
        "version_aliases: '2' is no alias",
        "such as champion",
    ),
    "more than all traffic": (
        VERTEX,
        {"traffic_percentage": 101},
        "traffic_percentage: 101 is out of range",
        "from 0 to 100",
    ),
    "too many steps": (LOCAL, {"train_steps": 10**9}, "train_steps: 1000000000 is out", "up to"),
    "half a step": (LOCAL, {"train_steps": 1.5}, "train_steps: 1.5 is not a whole number", ""),
    "steps as text": (LOCAL, {"train_steps": "many"}, "train_steps: 'many' is not a whole", ""),
    "steps as boolean": (LOCAL, {"train_steps": True}, "train_steps: True is not a whole", ""),
    "the legacy method's rate": (
        VERTEX,
        {"learning_rate": 3.0},
        "learning_rate: 3.0 is out",
        "Rates such as 3.0 are those of the former method tune",
    ),
    "huge legacy rate": (
        VERTEX,
        {"learning_rate": 1e4, "tuning_method": "tune"},
        "learning_rate: 10000.0 is out",
        "from 0 to 1000",
    ),
    "NaN learning rate": (LOCAL, {"learning_rate": float("nan")}, "learning_rate: nan is out", ""),
    "infinite learning rate": (
        LOCAL,
        {"learning_rate": float("-inf")},
        "learning_rate: -inf is out of range",
        "negative for the model's own",
    ),
    "negative multiplier": (LOCAL, {"learning_rate_multiplier": -1}, "multiplier: -1.0 is out", ""),
    "NaN multiplier": (LOCAL, {"learning_rate_multiplier": float("nan")}, "multiplier: nan is", ""),
    "no interval": (LOCAL, {"evaluation_interval": 0}, "evaluation_interval: 0 is out", "from 1"),
    "negative seed": (LOCAL, {"seed": -1}, "seed: -1 is out of range", "4,294,967,295"),
    "misspelt model": (
        LOCAL,
        {"large_model_reference": "text-bisn@002"},
        "no model is called",
        "text-bison@002",
    ),
    "empty model": (
        LOCAL,
        {"large_model_reference": ""},
        "large_model_reference: is empty",
        "hf://",
    ),
    "unknown method": (LOCAL, {"tuning_method": "lora"}, "tuning_method: 'lora' is", "tune_v2"),
    "legacy method elsewhere": (LOCAL, {"tuning_method": "tune"}, "published models' former", ""),
    "unknown context": (LOCAL, {"max_context_length": "16k"}, "'16k' is unknown", "8k, 32k"),
    "context beyond the model": (LOCAL, {"max_context_length": "32k"}, "context of 16,384", "8k"),
    "unknown checkpoint selection": (
        LOCAL,
        {"enable_checkpoint_selection": "yes"},
        "enable_checkpoint_selection: 'yes' is unknown",
        "true, false, default",
    ),
    "early stopping as text": (
        LOCAL,
        {"enable_early_stopping": "maybe"},
        "enable_early_stopping: 'maybe' is not true or false",
        "",
    ),
    "text with a context": (
        VERTEX,
        {"default_context": "You are a pirate."},
        "default_context: is given, but text-bison@002 takes text without a context",
        "a chat model",
    ),
    "text model in the chat template": (
        VERTEX,
        {"template": "tune-large-chat-model"},
        "text-bison@002 takes text, and tune-large-chat-model tunes chat models",
        "such as chat-bison@002",
    ),
    "empty display name": (
        LOCAL,
        {"model_display_name": " "},
        "' ' cannot name a model",
        "1 to 128",
    ),
    "long display name": (
        LOCAL,
        {"model_display_name": "n" * 129},
        "cannot name a model",
        "1 to 128",
    ),
    "display name of two lines": (LOCAL, {"model_display_name": "a\nb"}, "'a\\nb' cannot name", ""),
    "no project": (VERTEX, {"project": ""}, "project: '' is no project", "6 to 30"),
    "malformed project": (VERTEX, {"project": "My Project"}, "'My Project' is no project", "id"),
    "malformed endpoint": (
        VERTEX,
        {"api_endpoint": "not a host"},
        "'not a host' is no endpoint",
        "",
    ),
    "malformed account": (LOCAL, {"service_account": "me"}, "'me' is none", "gserviceaccount.com"),
    "unknown machine": (
        VERTEX,
        {"tuning_machine": "h10-8"},
        "no machine is called 'h10-8'",
        "h100-8?",
    ),
    "malformed TensorBoard": (
        VERTEX,
        {"tensorboard_resource_id": "board-123"},
        "tensorboard_resource_id: 'board-123' has another form",
        "projects/PROJECT/locations/REGION/tensorboards/NUMBER",
    ),
    "TensorBoard elsewhere": (
        VERTEX,
        {"tensorboard_resource_id": TENSORBOARD, "pipeline_region": "europe-west4"},
        "is in us-central1, but the pipeline runs in europe-west4",
        "Give a TensorBoard of that region",
    ),
    "malformed key": (
        LOCAL,
        {"encryption_spec_key_name": "key"},
        "encryption_spec_key_name: 'key' has another form",
        "keyRings/RING/cryptoKeys/KEY",
    ),
    "key with another location": (
        VERTEX,
        {"encryption_spec_key_name": KEY, "location": "us-west1"},
        "location: with an encryption key location must be us-central1, not 'us-west1'",
        "",
    ),
    "key with another pipeline region": (
        VERTEX,
        {"encryption_spec_key_name": KEY, "pipeline_region": "us-east4", "accelerator_type": "GPU"},
        "pipeline_region: with an encryption key pipeline_region must be us-central1",
        "",
    ),
    "key of another region": (
        VERTEX,
        {"encryption_spec_key_name": KEY.replace("us-central1", "us-west1")},
        "encryption_spec_key_name must be us-central1, not 'us-west1'",
        "",
    ),
    "no registry": (
        LOCAL,
        {"platform": "kubeflow"},
        "registry_uri: is empty, and the pipeline was compiled without a registry",
        "with the option mlflow_tracking_uri",
    ),
    "folder as registry": (
        KUBEFLOW,
        {"registry_uri": "file:///mlruns"},
        "'file:///mlruns' is no registry",
        "http",
    ),
    "password of a registry": (
        KUBEFLOW,
        {"registry_uri": "https://ann:s3cret@mlflow.test"},
        "registry_uri: https://ann:***@mlflow.test holds a password",
        "on Kubeflow, from a secret",
    ),
    "password of a platform's registry": (
        LOCAL,
        {"platform_registry_uri": "postgresql://ann:s3cret@db/mlflow"},
        "registry_uri: postgresql://ann:***@db/mlflow holds a password",
        "Set the variable MLFLOW_TRACKING_URI",
    ),
    "password of a dataset": (
        KUBEFLOW,
        {"dataset_uri": "s3://KEY:s3cret@bucket/rows.jsonl"},
        "dataset_uri: 's3://KEY:***@bucket/rows.jsonl' holds a secret",
        "AWS_ACCESS_KEY_ID",
    ),
    "signature of a link": (
        LOCAL,
        {"evaluation_data_uri": "https://host/rows.jsonl?X-Amz-Signature=" + "s3cret" * 20},
        "evaluation_data_uri: 'https://host/rows.jsonl?X-Amz-Signature=***' holds a secret",
        "copy the file",
    ),
    "registry in a pod": (
        KUBEFLOW,
        {"registry_uri": "sqlite:///mlflow.db"},
        "registry_uri: 'sqlite:///mlflow.db' is a file that no other task sees",
        "an MLflow server",
    ),
    "registry of one machine on Vertex": (
        VERTEX,
        {"registry_uri": "sqlite:////data/mlflow.db"},
        "is a file that no other task sees",
        "an MLflow server",
    ),
    "accelerator that was not compiled": (
        KUBEFLOW,
        {"accelerator_type": "tpu"},
        "accelerator_type: TPU is asked for, but the pipeline was compiled for a GPU machine",
        "Leave it empty: no engine of this version tunes on TPU.",
    ),
    "accelerator without one": (
        {"accelerator_type": "GPU", **KUBEFLOW},
        {"platform_accelerator": "CPU"},
        "compiled for a machine without an accelerator",
        "Allowed: empty",
    ),
    "unknown compiled accelerator": (
        KUBEFLOW,
        {"platform_accelerator": "NPU"},
        "platform_accelerator: 'NPU' is unknown",
        "GPU, TPU, CPU",
    ),
    "date that nobody tells": (
        {**KUBEFLOW, "run_time": "{{$.pipeline_job_create_time_utc}}"},
        {"model_display_name": "weekly-{date}"},
        "does not say when a run was created",
        "write the date into the name",
    ),
    "unknown machine in a compiled pipeline": (
        KUBEFLOW,
        {"tuning_machine": "h10-8"},
        "no machine is called 'h10-8'",
        "h100-8?",
    ),
    "unknown gate": (
        LOCAL,
        {"gate_metric": "exact_mach"},
        "'exact_mach' is unknown",
        "exact_match?",
    ),
    "gate without evaluation": (
        LOCAL,
        {"gate_metric": "exact_match", "gate_threshold": 0.5},
        "gate_metric: a gate needs an evaluation set",
        "Give evaluation_data_uri",
    ),
    "threshold without metric": (
        LOCAL,
        {"gate_threshold": 0.5},
        "0.5 limits nothing",
        "gate_metric",
    ),
    "NaN threshold": (
        LOCAL,
        {"gate_threshold": float("nan")},
        "gate_threshold: nan is out",
        "finite",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_each_broken_parameter_has_its_message(kind: str) -> None:
    base, changes, what, advice = BROKEN[kind]
    found = [problem for problem in problems(base, **changes) if what in problem]
    assert found, problems(base, **changes)
    assert any(advice in problem for problem in found), found


@pytest.mark.parametrize("kind", [kind for kind in BROKEN if len(BROKEN[kind][1]) == 1])
def test_one_mistake_is_one_problem(kind: str) -> None:
    base, changes, _, _ = BROKEN[kind]
    assert len(problems(base, **changes)) == (2 if kind == "unknown gate" else 1)


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


@pytest.mark.parametrize(
    "accepted",
    [
        {"tensorboard_resource_id": "1234567890"},
        {"large_model_reference": "text-bison-001"},
        {"large_model_reference": "publishers/google/models/text-bison-002"},
        {"train_steps": 0},
        {"train_steps": -1},
        {"learning_rate": 3.0, "tuning_method": "tune"},
        {"dataset_uri": "/gcs/bucket/train.jsonl"},
        {"evaluation_data_uri": "/gcs/bucket/evaluation.jsonl"},
    ],
    ids=str,
)
def test_what_the_published_templates_accept_is_accepted(accepted: dict[str, Any]) -> None:
    assert not check(VERTEX, **accepted).warnings


@pytest.mark.parametrize("name", ["learning_rate", "learning_rate_multiplier"])
def test_a_rate_of_zero_is_accepted_and_warned_of(name: str) -> None:
    (warning,) = check(VERTEX, **{name: 0.0}).warnings
    assert "the tuned model will be the base model" in warning


def test_one_object_under_two_names_is_one() -> None:
    evaluation = "/gcs/bucket/train.jsonl"
    (warning,) = check(VERTEX, evaluation_data_uri=evaluation).warnings
    assert "The evaluation set is the training set" in warning


def test_a_tensorboard_s_number_is_that_of_the_pipelines_region() -> None:
    assert check(VERTEX, tensorboard_resource_id="123").with_tensorboard


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


@pytest.mark.parametrize(
    ("region", "given"),
    [("us-central1", ""), ("asia-northeast3", "gpu"), ("europe-west4", "Gpu")],
)
def test_tuning_runs_where_the_accelerator_is(region: str, given: str) -> None:
    settings = check(VERTEX, pipeline_region=region, accelerator_type=given)
    assert (settings.use_tpu, settings.adapter_training_location) == (False, "us-central1")
    assert settings.model_location == region


def test_a_machine_decides_the_accelerator() -> None:
    settings = check(VERTEX, pipeline_region="us-west1", tuning_machine="l4-1")
    assert settings.machine is not None
    assert settings.machine.machine_type == "g2-standard-12"


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


def test_the_registry_is_the_runs_else_the_platforms() -> None:
    assert check(KUBEFLOW).registry_uri == "http://mlflow.kubeflow:5000"
    assert check(KUBEFLOW, registry_uri="https://mlflow.test").registry_uri == "https://mlflow.test"
    assert check(KUBEFLOW, registry_uri="sqlite:////mnt/models/mlflow.db")
    assert check(VERTEX).registry_uri == ""
    assert check(VERTEX, registry_uri="https://mlflow.test").registry_uri == "https://mlflow.test"


def test_the_table_decides_on_methods_too(monkeypatch: pytest.MonkeyPatch) -> None:
    only = Implementation("tune", "e", {"GPU": "gpu"}, ("vertex",), ("*",), ("adapter",))
    monkeypatch.setattr(implemented, "_rows", lambda: [only])
    assert check(VERTEX, tuning_method="adapter")
    with pytest.raises(UserError, match="tuning_method: no engine of this version tunes by the"):
        check(VERTEX, tuning_method="full")


@pytest.mark.parametrize("compiled", ["GPU", "CPU"])
def test_a_compiled_pipeline_knows_its_accelerator(compiled: str) -> None:
    settings = check(KUBEFLOW, platform_accelerator=compiled, tuning_machine="h100-8")
    assert (settings.use_tpu, settings.machine) == (False, None)
    assert settings.warnings == (
        "tuning_machine has no effect here: the tuner's pod is as the pipeline was compiled.",
    )


def test_a_time_that_nobody_told_is_none() -> None:
    settings = check(KUBEFLOW, run_time="{{$.pipeline_job_create_time_utc}}")
    assert settings.model_display_name == "my-tuned-model"


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


@pytest.mark.parametrize("value", ["true", "False", "DEFAULT", True, False])
def test_checkpoint_selection_takes_text_and_booleans(value: Any) -> None:
    check(LOCAL, enable_checkpoint_selection=value)


def test_numbers_come_as_json_has_them() -> None:
    check(LOCAL, train_steps=300.0, learning_rate=-1, seed=7.0)


def test_chat_models_may_have_a_context() -> None:
    for model in ("chat-bison@002", "byte-tiny"):
        check(
            VERTEX,
            large_model_reference=model,
            default_context="Be brief.",
            template="tune-large-chat-model",
        )
    check(VERTEX, large_model_reference="chat-bison@001", default_context="Be brief.")


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


def test_the_component_gives_the_published_outputs() -> None:
    import fsspec

    from kfp_llm_tuning.components.validation import pipeline_component as component

    published = {
        "adapter_training_location",
        "model_at_version",
        "model_dash_version",
        "model_location",
        "regional_endpoint",
        "service_account",
        "use_tpu",
        "with_batch_prediction_and_evaluation",
        "with_tensorboard",
    }
    specification = component.validate_pipeline.component_spec
    assert published < set(specification.outputs)
    data = {"dataset_uri": "memory://data/t.jsonl", "evaluation_data_uri": "memory://data/e.jsonl"}
    for uri in data.values():
        with fsspec.open(uri, "wb") as stream:
            stream.write(b"{}")
    given = {**VERTEX, **data}
    given["model"] = given.pop("large_model_reference")
    values = component.validate_pipeline.python_func(**given)
    outputs = dict(zip(specification.outputs, values, strict=True))
    assert outputs["model_dash_version"] == "text-bison-002"
    assert outputs["with_batch_prediction_and_evaluation"] is True
    assert len(outputs["data_version"]) == 64
    assert json.loads(outputs["machine_spec"])["name"] == "a100-80gb-8"


def test_the_component_and_the_parameters_name_the_same_defaults() -> None:
    from kfp_llm_tuning.components.validation import pipeline_component as component

    inputs = dict(component.validate_pipeline.component_spec.inputs)
    # What validate-pipeline calls by its published short name, and what only says how to go on.
    inputs["large_model_reference"] = inputs.pop("model")
    assert set(PARAMETERS) - set(inputs) == {"strict_validation"}
    for name, entry in inputs.items():
        # A pipeline always says where it runs and what is tuned.
        if name not in ("large_model_reference", "model_display_name", "platform"):
            assert entry.default == PARAMETERS[name].default, name
