from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from google.cloud.aiplatform_v1.types import ModelContainerSpec

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.serving.settings import from_environment
from kfp_llm_tuning.components.upload.serving_container import ServingImages, container_spec
from kfp_llm_tuning.components.upload.serving_machines import serving_machine
from kfp_llm_tuning.components.upload.vertex_platform import upload
from tests.components.upload.vertex_tasks import upload_task
from tests.vertex.local_vertex import LocalVertex

IMAGES = ServingImages(cpu="registry/serving:1", gpu="registry/serving-gpu:1")


@pytest.mark.parametrize("megabytes", [1, 2000, 2001, 15_240, 400_000])
def test_the_image_suits_the_machine(megabytes: int) -> None:
    spec = container_spec(IMAGES, megabytes, {})
    on_gpu = serving_machine(megabytes).accelerator_count > 0
    assert spec.image_uri == (IMAGES.gpu if on_gpu else IMAGES.cpu)


def test_weights_that_no_machine_holds_are_registered_all_the_same() -> None:
    assert container_spec(IMAGES, 1_400_000, {}).image_uri == IMAGES.gpu


def test_what_gpus_need() -> None:
    spec = container_spec(IMAGES, 15_240, {})
    assert spec.shared_memory_size_mb == 16_384
    # Vertex AI's limit, and ours for a long-running operation.
    assert spec.deployment_timeout < timedelta(hours=2)
    plain = ModelContainerSpec.to_dict(container_spec(IMAGES, 1, {}))
    assert plain["shared_memory_size_mb"] == "0"
    assert "deployment_timeout" not in plain


@pytest.mark.parametrize(
    ("images", "megabytes", "where"),
    [
        (ServingImages("", "gpu"), 1, "serving_image"),
        (ServingImages("cpu", ""), 15_240, "serving_gpu_image"),
    ],
)
def test_no_image_for_the_machine(images: ServingImages, megabytes: int, where: str) -> None:
    with pytest.raises(UserError, match="no image serves the model") as caught:
        container_spec(images, megabytes, {})
    assert caught.value.problems[0].where == where


def test_the_server_understands_what_a_model_is_registered_with(
    vertex_server: LocalVertex, tmp_path: Path
) -> None:
    upload(upload_task(vertex_server, tmp_path))
    (model,) = vertex_server.resources("models")
    container = model["containerSpec"]
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    settings = from_environment(
        {
            **variables,
            "AIP_STORAGE_URI": model["artifactUri"],
            "AIP_HTTP_PORT": str(container["ports"][0]["containerPort"]),
            "AIP_HEALTH_ROUTE": container["healthRoute"],
            "AIP_PREDICT_ROUTE": container["predictRoute"],
        }
    )
    assert settings.model == "gs://bucket/run-1/model"
    assert settings.model_name == "Support intents"
    assert settings.host == "0.0.0.0"
