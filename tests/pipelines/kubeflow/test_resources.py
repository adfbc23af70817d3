"""What the pods of each role are given: machines, volumes, secrets, retries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kfp import dsl

from kfp_llm_tuning.components.models.implemented import tuner_image
from kfp_llm_tuning.components.models.machine_specs import machine_names, select_machine
from kfp_llm_tuning.components.validation import validate_pipeline
from kfp_llm_tuning.pipelines.graphs.platform import Role
from kfp_llm_tuning.pipelines.kubeflow.options import KubeflowOptions
from kfp_llm_tuning.pipelines.kubeflow.options_file import options_from
from kfp_llm_tuning.pipelines.kubeflow.resources import equipment
from tests.pipelines.kubeflow.conftest import Compile

ROLES = {
    Role.TUNER: ["large-language-model-tuner"],
    Role.PREDICTOR: ["batch-predict", "batch-predict-2"],
    Role.REGISTRY: ["upload-llm-model", "create-endpoint-and-deploy-model", "deploy-to-kserve"],
    Role.LIGHT: [
        "validate-pipeline",
        "export-managed-dataset",
        "validate-dataset",
        "preprocess-dataset",
        "preprocess-dataset-2",
        "dataset-encoder",
        "evaluation-dataset-encoder",
        "compose-params-for-model-tuner",
        "prediction-resources",
        "evaluate-model",
        "tensorboard-uploader",
    ],
}
GPU_ROWS = [name for name in machine_names() if select_machine("", name).accelerator == "GPU"]

Equip = Callable[[dict[str, Any]], dsl.PipelineTask]


@pytest.fixture(scope="module")
def equip() -> Equip:
    """Equips a task as a tuner, with options."""

    def equipped(given: dict[str, Any]) -> dsl.PipelineTask:
        options = options_from({"tasks": {"tuner": given}})
        return equipped_with(options)

    return equipped


def equipped_with(options: KubeflowOptions) -> dsl.PipelineTask:
    found: list[dsl.PipelineTask] = []

    @dsl.pipeline
    def pipeline():  # type: ignore[no-untyped-def]  # an annotation would be an output
        task = validate_pipeline(model="m", model_display_name="n")
        equipment(options)(task, Role.TUNER)
        found.append(task)

    return found[0]


def test_every_task_has_a_role(compiled: Compile) -> None:
    tasks = {task for names in ROLES.values() for task in names}
    ours = set(compiled("everything").tasks()) - {"createpvc", "deletepvc"}
    assert ours == tasks


@pytest.mark.parametrize("row", GPU_ROWS)
def test_a_gpu_row_gives_its_gpus(equip: Equip, row: str) -> None:
    task = equip({"machine": row})
    resources = task.container_spec.resources
    assert resources.accelerator_type == "nvidia.com/gpu"
    assert int(resources.accelerator_count) == select_machine("GPU", row).accelerator_count
    assert task.container_spec.image == tuner_image("GPU")
    assert "nodeSelector" not in task.platform_config["kubernetes"]


def test_a_row_without_accelerators_gives_none(equip: Equip) -> None:
    for row in ("", "cpu-16"):
        assert equip({"machine": row}).container_spec.resources.accelerator_type is None


def test_gpus_may_be_fewer_than_the_rows(compiled: Compile) -> None:
    accelerator = compiled("everything").container("batch-predict")["resources"]["accelerator"]
    assert accelerator["resourceType"] == "amd.com/gpu"
    settled = compiled("everything").tasks()["prediction-resources"]["inputs"]["parameters"]
    assert settled["accelerators"]["runtimeValue"]["constant"] == 2.0


def test_predictors_ask_for_what_is_settled_once_the_evaluation_set_is_known(
    compiled: Compile,
) -> None:
    found = compiled("default")
    for task in ("batch-predict", "batch-predict-2"):
        resources = found.container(task)["resources"]
        asked = {
            "accelerators": resources["accelerator"]["resourceCount"],
            "cpu": resources["resourceCpuRequest"],
            "memory": resources["resourceMemoryRequest"],
        }
        for name, placeholder in asked.items():
            channel = f"pipelinechannel--prediction-resources-{name}"
            assert placeholder == f"{{{{$.inputs.parameters['{channel}']}}}}"
            source = found.tasks()[task]["inputs"]["parameters"][channel]["taskOutputParameter"]
            assert source == {"outputParameterKey": name, "producerTask": "prediction-resources"}
        assert "prediction-resources" in found.tasks()[task]["dependentTasks"]
    assert "prediction-resources" not in compiled("cpu").tasks()


def test_a_forked_component_keeps_its_image() -> None:
    @dsl.component(base_image="registry.test/mine:1", install_kfp_package=False)
    def mine():  # type: ignore[no-untyped-def]  # an annotation would be an output
        pass

    images = []

    @dsl.pipeline
    def pipeline():  # type: ignore[no-untyped-def]
        task = mine()
        equipment(options_from({}))(task, Role.TUNER)
        images.append(task.container_spec.image)

    assert images == ["registry.test/mine:1"]


def test_quantities(compiled: Compile) -> None:
    resources = compiled("everything").container("large-language-model-tuner")["resources"]
    assert resources["resourceCpuRequest"] == "96"
    assert resources["resourceMemoryRequest"] == "900Gi"
    assert resources["resourceMemoryLimit"] == "1000Gi"
    assert "resourceCpuLimit" not in resources
    light = compiled("everything").container("validate-dataset")["resources"]
    assert light["resourceCpuLimit"] == "3"


def test_the_tuners_pod(compiled: Compile) -> None:
    settings = compiled("everything").settings("large-language-model-tuner")
    assert settings["activeDeadlineSeconds"] == "1000"
    assert settings["emptyDirMounts"] == [
        {
            "volumeName": "kfp-llm-tuning-shm",
            "mountPath": "/dev/shm",
            "medium": "Memory",
            "sizeLimit": "77Gi",
        }
    ]
    assert settings["nodeSelector"]["labels"] == {"pool": "h100"}
    assert settings["tolerations"] == [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]
    (scratch,) = settings["genericEphemeralVolume"]
    assert scratch["mountPath"] == "/mnt/of-pod"
    assert scratch["storageClassName"] == "local-disks"
    assert scratch["size"] == "654Gi"
    mounted = {mount["mountPath"] for mount in settings["pvcMount"]}
    assert mounted == {"/mnt/shared", "/mnt/of-run"}
    environment = compiled("everything").container("large-language-model-tuner")["env"]
    assert {entry["name"]: entry["value"] for entry in environment} == {
        "AWS_ENDPOINT_URL": "http://minio.test:9000",
        "TMPDIR": "/mnt/of-pod",
        "HF_HOME": "/mnt/of-pod/huggingface",
        "KFP_LLM_TUNING_CACHE": "/mnt/of-pod/models",
        # A request without a limit, which the threads could not see.
        "OMP_NUM_THREADS": "96",
    }
    light = compiled("everything").container("validate-dataset")["env"]
    assert "OMP_NUM_THREADS" not in {entry["name"] for entry in light}


@pytest.mark.parametrize("role", Role)
def test_what_every_pod_has(compiled: Compile, role: Role) -> None:
    for task in ROLES[role]:
        settings = compiled("everything").settings(task)
        assert settings["podMetadata"] == {
            "labels": {"example.com/team": "support"},
            "annotations": {"sidecar.istio.io/inject": "false"},
        }
        assert settings["imagePullPolicy"] == "IfNotPresent"
        (pull,) = settings["imagePullSecret"]
        assert pull["secretName"] == "registry-login"
        assert settings["securityContext"] == {"runAsUser": "20002", "runAsNonRoot": True}
        (files,) = settings["secretAsVolume"]
        assert (files["secretName"], files["mountPath"]) == ("gcs-account", "/var/secrets/gcs")


@pytest.mark.parametrize("role", Role)
def test_secrets_and_claims_are_seen_by_their_roles(compiled: Compile, role: Role) -> None:
    for task in ROLES[role]:
        settings = compiled("everything").settings(task)
        secrets = {
            secret["secretName"]: {key["secretKey"]: key["envVar"] for key in secret["keyToEnv"]}
            for secret in settings["secretAsEnv"]
        }
        assert secrets["hub-token"] == {"token": "HF_TOKEN"}
        assert secrets["object-store"] == {
            "id": "AWS_ACCESS_KEY_ID",
            "key": "AWS_SECRET_ACCESS_KEY",
        }
        assert ("mlflow-login" in secrets) == (role is Role.REGISTRY)
        claims = {mount.get("constant") for mount in settings["pvcMount"]}
        assert ("dataset-disk" in claims) == (role is Role.LIGHT)
        assert "shared-models" in claims
        optional = {s["secretName"]: s["optional"] for s in settings["secretAsEnv"]}
        assert optional["hub-token"] is True
        assert optional["object-store"] is False


def test_scratch_room_is_where_models_are_staged(compiled: Compile) -> None:
    found = compiled("everything")
    with_room = {
        task
        for task in found.tasks()
        if "genericEphemeralVolume" in found.executors.get(f"exec-{task}", {})
    }
    assert with_room == {"large-language-model-tuner", "batch-predict", "batch-predict-2"}


def test_the_runs_volume_lives_as_long_as_it_is_needed(compiled: Compile) -> None:
    tasks = compiled("everything").tasks()
    created, deleted = tasks["createpvc"], tasks["deletepvc"]
    given = {
        name: entry["runtimeValue"]["constant"]
        for name, entry in created["inputs"]["parameters"].items()
    }
    assert given == {
        "access_modes": ["ReadWriteOnce"],
        "size": "321Gi",
        "storage_class_name": "fast-disks",
        "pvc_name_suffix": "-tuner",
    }
    assert sorted(deleted["dependentTasks"]) == ["createpvc", "large-language-model-tuner"]
    assert created["cachingOptions"] == deleted["cachingOptions"] == {}
    tuner = tasks["large-language-model-tuner"]
    assert "createpvc" in tuner["dependentTasks"]
    (mount,) = [
        mount
        for mount in compiled("everything").settings("large-language-model-tuner")["pvcMount"]
        if mount["mountPath"] == "/mnt/of-run"
    ]
    assert mount["taskOutputParameter"] == {
        "producerTask": "createpvc",
        "outputParameterKey": "name",
    }
    assert "createpvc" not in compiled("default").tasks()


def test_retries_have_the_time_of_all_their_tries(compiled: Compile) -> None:
    """Argo ends whatever runs when the time of all tries together is over."""
    for variant, pauses, timeout, retries in (
        ("default", 60 + 120 + 240, 604800, 3),
        ("everything", 30 + 90 + 270, 1000, 3),
    ):
        policy = compiled(variant).tasks()["large-language-model-tuner"]["retryPolicy"]
        assert policy["maxRetryCount"] == retries
        together = (retries + 1) * timeout + pauses
        assert policy["backoffMaxDuration"] == f"{together}s"
    assert policy["backoffDuration"] == "30s"
    assert policy["backoffFactor"] == 3.0
    assert int(policy["backoffFactor"]) == policy["backoffFactor"]  # Argo takes whole ones only.


def test_light_tasks_are_tried_once_unless_told_otherwise(compiled: Compile) -> None:
    assert "retryPolicy" not in compiled("default").tasks()["validate-dataset"]
    assert compiled("everything").tasks()["validate-dataset"]["retryPolicy"]["maxRetryCount"] == 1


def test_no_time_of_all_tries_is_beyond_what_argo_counts(equip: Equip) -> None:
    task = equip({"retries": 100, "timeout_seconds": 31536000})
    assert task._task_spec.retry_policy.backoff_max_duration == "315360000s"
