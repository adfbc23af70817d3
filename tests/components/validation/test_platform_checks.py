"""What a pipeline was compiled for, and what a run of it may still ask for."""

from __future__ import annotations

import pytest

from tests.components.validation.pipeline_requests import (
    KUBEFLOW,
    LOCAL,
    VERTEX,
    Mistake,
    assert_told,
    check,
)

MISTAKES = {
    "TPU compiled in": Mistake(
        KUBEFLOW,
        {"platform_accelerator": "TPU"},
        "the pipeline was compiled for TPU, and no engine of this version tunes on TPU.",
        "Compile it again",
    ),
    "no registry": Mistake(
        LOCAL,
        {"platform": "kubeflow"},
        "registry_uri: is empty, and the pipeline was compiled without a registry",
        "with the option mlflow_tracking_uri",
    ),
    "folder as registry": Mistake(
        KUBEFLOW,
        {"registry_uri": "file:///mlruns"},
        "'file:///mlruns' is no registry",
        "http",
    ),
    "password of a registry": Mistake(
        KUBEFLOW,
        {"registry_uri": "https://ann:s3cret@mlflow.test"},
        "registry_uri: https://ann:***@mlflow.test holds a password",
        "on Kubeflow, from a secret",
    ),
    "password of a platform's registry": Mistake(
        LOCAL,
        {"platform_registry_uri": "postgresql://ann:s3cret@db/mlflow"},
        "registry_uri: postgresql://ann:***@db/mlflow holds a password",
        "Set the variable MLFLOW_TRACKING_URI",
    ),
    "password of a dataset": Mistake(
        KUBEFLOW,
        {"dataset_uri": "s3://KEY:s3cret@bucket/rows.jsonl"},
        "dataset_uri: 's3://KEY:***@bucket/rows.jsonl' holds a secret",
        "AWS_ACCESS_KEY_ID",
    ),
    "signature of a link": Mistake(
        LOCAL,
        {"evaluation_data_uri": "https://host/rows.jsonl?X-Amz-Signature=" + "s3cret" * 20},
        "evaluation_data_uri: 'https://host/rows.jsonl?X-Amz-Signature=***' holds a secret",
        "copy the file",
    ),
    "registry in a pod": Mistake(
        KUBEFLOW,
        {"registry_uri": "sqlite:///mlflow.db"},
        "registry_uri: 'sqlite:///mlflow.db' is a file that no other task sees",
        "an MLflow server",
    ),
    "registry of one machine on Vertex": Mistake(
        VERTEX,
        {"registry_uri": "sqlite:////data/mlflow.db"},
        "is a file that no other task sees",
        "an MLflow server",
    ),
    "accelerator that was not compiled": Mistake(
        KUBEFLOW,
        {"accelerator_type": "tpu"},
        "accelerator_type: TPU is asked for, but the pipeline was compiled for a GPU machine",
        "Leave it empty: no engine of this version tunes on TPU.",
    ),
    "accelerator without one": Mistake(
        {"accelerator_type": "GPU", **KUBEFLOW},
        {"platform_accelerator": "CPU"},
        "compiled for a machine without an accelerator",
        "Allowed: empty",
    ),
    "unknown compiled accelerator": Mistake(
        KUBEFLOW,
        {"platform_accelerator": "NPU"},
        "platform_accelerator: 'NPU' is unknown",
        "GPU, TPU, CPU",
    ),
    "date that nobody tells": Mistake(
        {**KUBEFLOW, "run_time": "{{$.pipeline_job_create_time_utc}}"},
        {"model_display_name": "weekly-{date}"},
        "does not say when a run was created",
        "write the date into the name",
    ),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_each_mistake_has_its_message(kind: str) -> None:
    assert_told(MISTAKES[kind])


def test_the_registry_is_the_runs_else_the_platforms() -> None:
    assert check(KUBEFLOW).registry_uri == "http://mlflow.kubeflow:5000"
    assert check(KUBEFLOW, registry_uri="https://mlflow.test").registry_uri == "https://mlflow.test"
    assert check(KUBEFLOW, registry_uri="sqlite:////mnt/models/mlflow.db")
    assert check(VERTEX).registry_uri == ""
    assert check(VERTEX, registry_uri="https://mlflow.test").registry_uri == "https://mlflow.test"


@pytest.mark.parametrize("compiled", ["GPU", "CPU"])
def test_a_compiled_pipeline_knows_its_accelerator(compiled: str) -> None:
    settings = check(KUBEFLOW, platform_accelerator=compiled, tuning_machine="h100-8")
    assert (settings.use_tpu, settings.machine) == (False, None)
    (warning,) = settings.warnings
    assert warning.startswith("tuning_machine has no effect here: the tuner's pod is as")
