"""The compiled templates: both documents parsed strictly, and every reference in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf import json_format
from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig
from kfp.pipeline_spec.pipeline_spec_pb2 import PlatformSpec

from kfp_llm_tuning.components.common.images import IMAGE, REGISTRY, SERVING_GPU_IMAGE
from kfp_llm_tuning.components.models.implemented import tuner_image
from kfp_llm_tuning.components.parameters.pipeline import TEMPLATES
from kfp_llm_tuning.pipelines.compiling.compiled_files import PlatformOptions
from kfp_llm_tuning.pipelines.graphs.compile import template_text
from kfp_llm_tuning.pipelines.kubeflow.options_file import default_options
from kfp_llm_tuning.pipelines.kubeflow.platform import kubeflow_platform
from kfp_llm_tuning.pipelines.vertex.platform import vertex_platform
from tests.pipelines.kubeflow.conftest import EVERYTHING, Compile
from tests.pipelines.spec_references import broken_references, parse_strictly

VARIANTS = ["default", "cpu", "everything"]
# What the backend's driver replaces where it is all of a value (kubeflow/pipelines,
# backend/src/v2/driver/resolve.go); amid other text it replaces nothing.
RESOLVED = {
    "{{$.pipeline_job_name}}",
    "{{$.pipeline_job_resource_name}}",
    "{{$.pipeline_job_uuid}}",
    "{{$.pipeline_task_name}}",
    "{{$.pipeline_task_uuid}}",
    "{{$.pipeline_job_create_time_utc}}",
    "{{$.pipeline_job_schedule_time_utc}}",
}
# What its launcher replaces in a container's command.
IN_COMMANDS = re.compile(
    r"\{\{\$(\.(inputs|outputs)\.(parameters|artifacts)\['[^']+'\][.\w]*)?\}\}"
)
# What its driver takes from another task's output: all of a quantity (since 2.5).
IN_RESOURCES = re.compile(r"^\{\{\$\.inputs\.parameters\['pipelinechannel--[\w-]+'\]\}\}$")


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for entry in value.values():
            yield from strings(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from strings(entry)
    elif isinstance(value, str):
        yield value


def constants(spec: dict[str, Any]) -> Iterator[str]:
    """Lists the texts that tasks are given."""
    for component in (spec["root"], *spec["components"].values()):
        for task in component.get("dag", {}).get("tasks", {}).values():
            yield from strings(task.get("inputs", {}))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("template", TEMPLATES)
def test_both_documents_are_what_the_protos_say(
    compiled: Compile, template: str, variant: str
) -> None:
    found = compiled(variant, template)
    parse_strictly(found.spec)
    json_format.ParseDict(found.platform, PlatformSpec())
    for settings in found.executors.values():
        json_format.ParseDict(settings, KubernetesExecutorConfig())
    assert broken_references(found.spec) == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_kubernetes_is_told_of_every_container_and_of_nothing_else(
    compiled: Compile, variant: str
) -> None:
    found = compiled(variant)
    containers = set(found.spec["deploymentSpec"]["executors"]) - {
        "exec-createpvc",
        "exec-deletepvc",
    }
    assert set(found.executors) == containers


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_what_the_backend_resolves_is_left_to_it(compiled: Compile, variant: str) -> None:
    found = compiled(variant)
    # A task's resources come as inputs that its component does not have.
    given = [text for text in constants(found.spec) if "{{" in IN_RESOURCES.sub("", text)]
    assert set(given) <= RESOLVED
    assert "{{$.pipeline_job_uuid}}" in given
    for executor in found.spec["deploymentSpec"]["executors"].values():
        for text in strings(executor):
            assert "{{" not in IN_COMMANDS.sub("", text), text
    assert not any("{{" in text for text in strings(found.executors))


def test_a_placeholder_of_vertex_would_be_noticed() -> None:
    text = template_text("tune-large-model", vertex_platform())
    assert "{{$.pipeline_google_cloud_location}}" in text
    assert "{{$.pipeline_google_cloud_location}}" not in RESOLVED


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_same_bytes_each_time(compiled: Compile, template: str) -> None:
    platform = kubeflow_platform(default_options(), {"team": "support"})
    assert template_text(template, platform) == compiled("default", template).text


def test_inputs_and_tasks_are_those_of_every_platform(compiled: Compile) -> None:
    found = compiled().spec
    assert set(found["root"]["inputDefinitions"]["parameters"]) == set(
        TEMPLATES["tune-large-model"]
    )
    assert set(found["root"]["outputDefinitions"]["parameters"]) == {
        "model_resource_name",
        "endpoint_resource_name",
    }
    assert set(compiled().tasks()) == {
        "validate-pipeline",
        "export-managed-dataset",
        "validate-dataset",
        "preprocess-dataset",
        "preprocess-dataset-2",
        "dataset-encoder",
        "evaluation-dataset-encoder",
        "compose-params-for-model-tuner",
        "large-language-model-tuner",
        "batch-predict",
        "batch-predict-2",
        "prediction-resources",
        "evaluate-model",
        "upload-llm-model",
        "create-endpoint-and-deploy-model",
        "tensorboard-uploader",
    }


def value(task: dict[str, Any], name: str) -> Any:
    return task["inputs"]["parameters"][name]["runtimeValue"]["constant"]


def test_what_a_run_is_told(compiled: Compile) -> None:
    tasks = compiled("everything").tasks()
    validated, tuner = tasks["validate-pipeline"], tasks["large-language-model-tuner"]
    assert value(validated, "platform") == "kubeflow"
    assert value(validated, "platform_registry_uri") == "http://mlflow.models:5000"
    assert value(validated, "platform_accelerator") == "GPU"
    assert value(tuner, "checkpoint_directory") == "s3://tuning/checkpoints"
    assert value(tuner, "checkpoint_folder") == "{{$.pipeline_job_uuid}}"
    assert value(tasks["upload-llm-model"], "run_id") == "{{$.pipeline_job_uuid}}"
    assert value(tasks["upload-llm-model"], "labels") == '{"team": "support"}'


def test_the_registry_is_settled_by_validate_pipeline(compiled: Compile) -> None:
    found = compiled().spec
    deployment = found["root"]["dag"]["tasks"]["deployment-graph"]["inputs"]["parameters"]
    assert deployment["registry_uri"]["taskOutputParameter"] == {
        "outputParameterKey": "registry_uri",
        "producerTask": "validate-pipeline",
    }
    for task in ("upload-llm-model", "create-endpoint-and-deploy-model"):
        given = compiled().tasks()[task]["inputs"]["parameters"]["registry_uri"]
        assert given == {"componentInputParameter": "registry_uri"}


@pytest.mark.parametrize("task", ["upload-llm-model", "create-endpoint-and-deploy-model"])
def test_what_a_run_does_for_itself_is_not_cached(compiled: Compile, task: str) -> None:
    assert compiled().tasks()[task]["cachingOptions"] == {}
    assert compiled().tasks()["large-language-model-tuner"]["cachingOptions"] == {
        "enableCache": True
    }


def test_images(compiled: Compile) -> None:
    for variant, tuner, predictor in (
        ("default", tuner_image("GPU"), SERVING_GPU_IMAGE),
        ("cpu", IMAGE, IMAGE),
    ):
        found = compiled(variant)
        on_accelerators = {
            "large-language-model-tuner": tuner,
            "batch-predict": predictor,
            "batch-predict-2": predictor,
        }
        for task in found.tasks():
            assert found.container(task)["image"] == on_accelerators.get(task, IMAGE), task
        assert REGISTRY in found.text


def test_the_variant_without_accelerators_asks_for_none(compiled: Compile) -> None:
    found = compiled("cpu")
    for task in found.tasks():
        assert "accelerator" not in found.container(task)["resources"]
    assert value(found.tasks()["validate-pipeline"], "platform_accelerator") == "CPU"


def test_names_of_a_cluster_come_from_options_alone(compiled: Compile) -> None:
    """No template names a secret, a claim, a storage class or an address that no option gave."""
    default, everything = compiled("default"), compiled("everything")
    names = [
        "hub-token",
        "object-store",
        "mlflow-login",
        "gcs-account",
        "registry-login",
        "shared-models",
        "dataset-disk",
        "fast-disks",
        "local-disks",
        "http://mlflow.models:5000",
        "s3://tuning/checkpoints",
        "example.com/team",
        "amd.com/gpu",
        "321Gi",
        "654Gi",
    ]
    for name in names:
        assert name in everything.text
        assert name not in default.text, name
    keys = {key for settings in default.executors.values() for key in settings}
    assert keys == {"activeDeadlineSeconds", "emptyDirMounts", "fieldPathAsEnv"}


def test_kserve_is_a_task_where_it_is_wanted(compiled: Compile) -> None:
    assert "deploy-to-kserve" not in compiled("default").tasks()
    task = compiled("everything").tasks()["deploy-to-kserve"]
    assert value(task, "namespace") == "models"
    assert value(task, "max_replicas") == 3
    assert value(task, "serving_image").startswith(f"{REGISTRY}/kfp-llm-tuning-serving-gpu:")
    assert '"amd.com/gpu": "1"' in value(task, "resources")
    assert task["dependentTasks"] == ["upload-llm-model"]
    assert task["cachingOptions"] == {}
    taken = task["inputs"]["parameters"]["saved_model_uri"]["taskOutputParameter"]
    assert taken["producerTask"] == "upload-llm-model"


def test_what_is_compiled_when_nothing_is_said() -> None:
    assert list(PlatformOptions().variants("kubeflow")) == ["", "-cpu"]
    assert list(PlatformOptions(default_options()).variants("kubeflow")) == [""]
    assert list(PlatformOptions().variants("vertex")) == [""]
    assert set(EVERYTHING) <= set(default_options().to_mapping())
