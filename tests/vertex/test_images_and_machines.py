"""What the stand-ins refuse because Vertex AI would: machines, accelerators, images, engines."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.cloud import aiplatform
from google.cloud.aiplatform_v1.types import MachineSpec
from kfp import compiler

from kfp_llm_tuning.components.common import images
from kfp_llm_tuning.components.common.images import image_name
from kfp_llm_tuning.components.models import implemented
from kfp_llm_tuning.components.models.implemented import Implementation
from kfp_llm_tuning.components.models.machine_specs import machine_names, select_machine
from kfp_llm_tuning.components.tuning.engine import ENGINE_VARIABLE
from kfp_llm_tuning.components.upload.serving_machines import serving_machine
from tests.vertex import images as stand_in_images
from tests.vertex.errors import ApiError
from tests.vertex.execution.processes import container_environment
from tests.vertex.images import IMAGE, REGISTRY, image_environment, pull_error, start_error
from tests.vertex.local_vertex import LocalVertex, local_vertex
from tests.vertex.machines import check_machine
from tests.vertex.sample_pipelines import retried

PLACE = {"project": "test-project", "location": "us-central1"}
A100 = {
    "machine_type": "a2-highgpu-1g",
    "accelerator_type": "NVIDIA_TESLA_A100",
    "accelerator_count": 1,
}
TPU = {"machine_type": "cloud-tpu", "accelerator_type": "TPU_V3", "accelerator_count": 32}


@pytest.mark.parametrize("name", machine_names())
def test_every_machine_that_we_tune_on_is_on_offer(name: str) -> None:
    machine = select_machine("", name)
    spec = MachineSpec(
        machine_type=machine.machine_type,
        accelerator_type=machine.accelerator_type or None,
        accelerator_count=machine.accelerator_count,
    )
    check_machine("machine_spec", spec)


@pytest.mark.parametrize("megabytes", [100, 10_000, 50_000, 100_000, 400_000])
def test_every_machine_that_we_serve_on_is_on_offer(megabytes: int) -> None:
    fields = dataclasses.asdict(serving_machine(megabytes))
    del fields["weights_gb"]
    check_machine("machine_spec", MachineSpec(**{name: fields[name] or None for name in fields}))


@pytest.mark.parametrize(
    ("machine", "field", "message"),
    [
        ({"machine_type": "a2-ultragpu-9g"}, "machine_type", '"a2-ultragpu-9g" is not supported'),
        ({"machine_type": "n1-standard-5"}, "machine_type", "is not supported"),
        (A100 | {"accelerator_type": "NVIDIA_L4"}, "accelerator_type", '"NVIDIA_L4" is not supp'),
        (A100 | {"accelerator_count": 2}, "accelerator_count", "2 "),
        ({"machine_type": "a2-highgpu-1g"}, "accelerator_type", "No accelerator is not supported"),
        (A100 | {"machine_type": "e2-standard-4"}, "accelerator_type", "NVIDIA_TESLA_A100"),
        (A100 | {"accelerator_count": 0}, "accelerator_type", "Both `accelerator_type`"),
        ({"machine_type": "ct6e-standard-4t"}, "tpu_topology", "needs a TPU topology"),
        (TPU | {"accelerator_count": 9}, "accelerator_count", "TPU_V3"),
    ],
)
def test_a_machine_that_is_not_on_offer(machine: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        check_machine("pools[0].machine_spec", MachineSpec(**machine))
    assert f"Field: pools[0].machine_spec.{field}; Message: " in caught.value.message
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("image", "accelerator", "error"),
    [
        (IMAGE, "", ""),
        ("python:3.11", "", ""),
        ("python:3.11", "NVIDIA_L4", ""),
        (image_name("gpu", "registry.test:5000/team/x"), "nvidia.com/gpu", ""),
        (image_name("serving-gpu", REGISTRY), "NVIDIA_L4", ""),
        (images.IMAGE, "", "Failed to pull"),
        (image_name("tpu", REGISTRY), "", "Failed to pull"),
        (f"{IMAGE}.1", "", "Failed to pull"),
        ("us-docker.pkg.dev/p/r/image:1", "", "Failed to pull"),
        (image_name("python", "Registry.test"), "", "Failed to pull"),
        ("", "", "Failed to pull"),
        (IMAGE, "NVIDIA_L4", "holds no engine for NVIDIA_L4"),
        (image_name("gpu", REGISTRY), "TPU_V3", "no image that makes use of one"),
        (image_name("gpu", REGISTRY), "google.com/tpu", "no image that makes use of one"),
        ("python:3.11", "TPU (ct6e-standard-4t)", "no image that makes use of one"),
    ],
)
def test_what_a_container_needs(image: str, accelerator: str, error: str) -> None:
    found = start_error(image, accelerator)
    assert (error in found) if error else not found


def test_the_image_of_tpus_has_an_environment_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    row = Implementation("tune", "tunix", {"TPU": "tpu"}, ("vertex",), ("qwen2",), ("full",))
    monkeypatch.setattr(implemented, "_rows", lambda: [row])
    monkeypatch.setattr(stand_in_images, "TPU_PYTHON", tmp_path / "bin" / "python3")
    image = image_name("tpu", REGISTRY)
    assert "make test-tpu" in start_error(image, "TPU_V3")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").touch()
    assert start_error(image, "TPU_V3") == ""
    assert "Failed to pull" in start_error(image_name("gpu", REGISTRY), "TPU_V3")
    variables = container_environment({"PATH": "/bin", "A": "b"}, image_environment(image))
    assert variables["PATH"].startswith(f"{tmp_path / 'bin'}{os.pathsep}")
    assert (variables[ENGINE_VARIABLE], variables["A"]) == ("jax", "b")
    assert image_environment(IMAGE) == {}


@pytest.fixture(scope="module")
def vertex(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalVertex]:
    with local_vertex(tmp_path_factory.mktemp("vertex"), execute=True) as running:
        running.storage.create_bucket("bucket")
        yield running


@pytest.mark.parametrize(
    ("machine", "image", "error"),
    [
        (TPU, image_name("gpu", REGISTRY), "There is no TPU_V3 here"),
        (A100, image_name("python", REGISTRY), "holds no engine for NVIDIA_TESLA_A100"),
        ({"machine_type": "e2-standard-4"}, images.IMAGE, "Failed to pull"),
    ],
)
def test_a_custom_job_whose_container_cannot_start(
    vertex: LocalVertex, machine: dict[str, Any], image: str, error: str
) -> None:
    pool = {
        "machine_spec": machine,
        "replica_count": 1,
        "container_spec": {"image_uri": image, "command": ["true"]},
    }
    job = aiplatform.CustomJob(
        "job", worker_pool_specs=[pool], staging_bucket="gs://bucket", **PLACE
    )
    job.submit()
    assert job.state.name == "JOB_STATE_FAILED"
    assert error in job.error.message


def test_a_model_whose_image_is_not_there(vertex: LocalVertex) -> None:
    with pytest.raises(Exception, match="Failed to pull image"):
        aiplatform.Model.upload(
            display_name="m", serving_container_image_uri=images.SERVING_IMAGE, **PLACE
        )
    assert pull_error(images.SERVING_IMAGE)
    assert vertex.resources("models") == []


def test_a_pipeline_whose_image_is_not_there(vertex: LocalVertex, tmp_path: Path) -> None:
    template, touched = tmp_path / "pipeline.yaml", tmp_path / "touched"
    compiler.Compiler().compile(retried, str(template))
    text = template.read_text(encoding="utf-8")
    template.write_text(text.replace(REGISTRY, images.REGISTRY), encoding="utf-8")
    job = aiplatform.PipelineJob(
        display_name="run",
        template_path=str(template),
        pipeline_root="gs://bucket/root",
        parameter_values={"path": str(touched)},
        **PLACE,
    )
    job.submit()
    end = time.monotonic() + 60
    while not job.done():
        assert time.monotonic() < end
        time.sleep(0.1)
    (task,) = [detail for detail in job.task_details if detail.task_name == "fail-once"]
    assert task.state.name == "FAILED"
    assert f'Failed to pull image "{images.IMAGE}"' in task.error.message
    assert not touched.exists()
