"""Requests that are legal on each platform, and mistakes in one of their parameters."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from kfp_llm_tuning.components.common.errors import UserError
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


class Mistake(NamedTuple):
    """A legal request, what is changed in it, and parts of the problem that is told."""

    base: dict[str, Any]
    changes: dict[str, Any]
    what: str
    advice: str


def check(base: dict[str, Any], **changes: Any) -> PipelineSettings:
    return validate_pipeline_parameters(PipelineParameters(**{**base, **changes}))


def problems(base: dict[str, Any], **changes: Any) -> list[str]:
    with pytest.raises(UserError) as caught:
        check(base, **changes)
    return [str(problem) for problem in caught.value.problems]


def assert_told(mistake: Mistake) -> None:
    """Asserts that the mistake is told, and nothing else where one parameter was changed."""
    told = problems(mistake.base, **mistake.changes)
    assert any(mistake.what in problem and mistake.advice in problem for problem in told), told
    assert len(mistake.changes) > 1 or len(told) == 1, told
