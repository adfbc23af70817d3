"""The request of a job: the published bodies, and every mistake before anything is sent."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.parameters.pipeline import TEXT
from kfp_llm_tuning.pipelines.requests.request import Request, read_request
from kfp_llm_tuning.pipelines.templates.template import TemplateSource
from kfp_llm_tuning.pipelines.vertex.job_request import (
    checked_parameters,
    pipeline_job_body,
    pipeline_job_message,
)
from kfp_llm_tuning.pipelines.vertex.job_settings import JobSettings, settings_problems, settle

REGISTRY = "us-docker.pkg.dev/my-project/images"


@pytest.fixture
def published(shared_data: Path) -> Path:
    return shared_data.parent / "contract" / "requests"


def body_of(request: Request, source: TemplateSource, **given: Any) -> dict[str, Any]:
    return pipeline_job_body(*settle(request, JobSettings(**given)), source)


def test_the_published_text_request(published: Path, template_file: Path) -> None:
    request = read_request(published / "rest_text.json")
    body = body_of(request, TemplateSource(file=template_file))
    key = "projects/my-project/locations/us-central1/keyRings/ring/cryptoKeys/key"
    assert body["displayName"] == "tune-llm"
    assert body["serviceAccount"] == "tuner@my-project.iam.gserviceaccount.com"
    assert body["encryptionSpec"] == {"kmsKeyName": key}
    assert body["runtimeConfig"]["gcsOutputDirectory"] == "gs://my-bucket/output"
    parameters = body["runtimeConfig"]["parameterValues"]
    assert parameters["enable_checkpoint_selection"] == "true"
    assert parameters["train_steps"] == 300
    assert set(parameters) == set(request.values)
    assert "templateUri" not in body
    message = pipeline_job_message(body)
    assert message.encryption_spec.kms_key_name == key


def test_the_published_chat_request_asks_for_tpu(published: Path) -> None:
    request = read_request(published / "rest_chat.json")
    with pytest.raises(UserError, match="no engine of this version tunes on TPU. Allowed: GPU."):
        body_of(request, TemplateSource(REGISTRY))
    gpu = dataclasses.replace(request, values={**request.values, "accelerator_type": "GPU"})
    body = body_of(gpu, TemplateSource(REGISTRY))
    assert body["pipelineSpec"]["pipelineInfo"]["name"] == "tune-large-chat-model"
    assert set(body) == {"displayName", "pipelineSpec", "runtimeConfig"}


def test_every_mistake_of_the_published_misspelt_request(published: Path) -> None:
    request = read_request(published / "misspelt_parameter.json")
    with pytest.raises(UserError) as caught:
        body_of(request, TemplateSource())
    text = str(caught.value)
    assert "Did you mean accelerator_type?" in text
    assert "--image-registry" in text


VALUES = {
    "dataset_uri": "gs://bucket/train.jsonl",
    "model_display_name": "router",
    "project": "my-project",
    "location": "us-central1",
}


@pytest.mark.parametrize(
    ("values", "given", "messages"),
    [
        (
            {"seed": -1, "learning_rate_multiplier": -1},
            {"pipeline_root": "x", "job_id": "X"},
            ["seed", "learning_rate_multiplier"],
        ),
        ({}, {"pipeline_root": "x", "job_id": "X"}, ["--pipeline-root", "--job-id"]),
        ({"dataset_uri": "train.jsonl"}, {}, ["Copy it to a bucket"]),
        ({"location": "mars-east1"}, {}, ["'mars-east1' is no supported region"]),
        ({"project": ""}, {}, ["project"]),
        (
            {"location": "europe-west4", "tensorboard_resource_id": "x"},
            {},
            ["tensorboard_resource_id"],
        ),
        ({"accelerator_type": "TPU"}, {"region": "asia-east9"}, ["'asia-east9'"]),
    ],
)
def test_mistakes(
    template_file: Path, values: dict[str, Any], given: dict[str, Any], messages: list[str]
) -> None:
    given = {"pipeline_root": "gs://bucket/x", **given}
    request = Request("tune-large-model", {**VALUES, **values})
    with pytest.raises(UserError) as caught:
        body_of(request, TemplateSource(file=template_file), **given)
    for message in messages:
        assert message in str(caught.value)


def test_another_template_than_the_file_is_refused(template_file: Path) -> None:
    values = {**VALUES, "large_model_reference": "chat-bison@002"}
    with pytest.raises(UserError, match="Give --template tune-large-model"):
        body_of(
            Request("tune-large-chat-model", values),
            TemplateSource(file=template_file),
            pipeline_root="gs://bucket/x",
        )


def test_a_part_that_is_no_part_of_a_job_is_told(template_file: Path) -> None:
    request = Request("tune-large-model", VALUES, cloud={"pscInterfaceConfig": {"nonsense": 1}})
    source = TemplateSource(file=template_file)
    body = body_of(request, source, pipeline_root="gs://bucket/x")
    with pytest.raises(UserError, match="is no pipeline job: .*nonsense"):
        pipeline_job_message(body)


def test_no_caching(template_file: Path) -> None:
    source = TemplateSource(file=template_file, caching=False)
    request = Request("tune-large-model", VALUES)
    body = body_of(request, source, pipeline_root="gs://bucket/x")
    tasks = body["pipelineSpec"]["root"]["dag"]["tasks"]
    assert {str(task["cachingOptions"]) for task in tasks.values()} == {"{}"}
    cached = body_of(
        request, dataclasses.replace(source, caching=True), pipeline_root="gs://bucket/x"
    )
    assert cached["pipelineSpec"] != body["pipelineSpec"]


@given(
    st.dictionaries(st.sampled_from(sorted(TEXT)), st.text(max_size=12), max_size=4),
    st.fixed_dictionaries(
        {},
        optional={
            "region": st.sampled_from(["us-central1", "europe-west4", "x", ""]),
            "pipeline_root": st.text(max_size=12),
            "job_id": st.text(max_size=12),
            "labels": st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
        },
    ),
)
def test_no_text_gives_a_traceback(values: dict[str, str], options: dict[str, Any]) -> None:
    request, settings = settle(
        Request("tune-large-model", {**VALUES, **values}), JobSettings(**options)
    )
    with contextlib.suppress(UserError):
        parameters, _ = checked_parameters(request, settings)
        settings_problems(settings, parameters)
