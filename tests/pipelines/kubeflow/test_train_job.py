"""The tuner's TrainJob, from the options to what a cluster's API takes."""

from __future__ import annotations

from typing import Any

import jsonschema
import yaml

from kfp_llm_tuning.components.models.implemented import tuner_image
from kfp_llm_tuning.components.tuning.train_job_manifest import TrainJobSettings, train_job
from kfp_llm_tuning.pipelines.graphs.compile import template_text
from kfp_llm_tuning.pipelines.kubeflow.options import KubeflowOptions
from kfp_llm_tuning.pipelines.kubeflow.options_file import default_options, options_from
from kfp_llm_tuning.pipelines.kubeflow.platform import kubeflow_platform
from kfp_llm_tuning.pipelines.kubeflow.pod_needs import cluster_needs
from kfp_llm_tuning.pipelines.kubeflow.train_job import train_job_input
from tests.kubeflow.local_trainer import SCHEMA
from tests.pipelines.kubeflow.conftest import EVERYTHING


def everything() -> KubeflowOptions:
    return options_from({**EVERYTHING, "train_job": {"enabled": True, "queue": "gpus"}})


def job_of(options: KubeflowOptions) -> dict[str, Any]:
    settings = TrainJobSettings.from_json(train_job_input(options))
    job = train_job(settings, ["python3"], 2, "run-1", "s3://checkpoints/run-1", {"A": "1"})
    jsonschema.validate(job, SCHEMA)
    return job


def test_every_option_of_the_tuners_pod_is_one_of_the_nodes() -> None:
    job = job_of(everything())
    trainer = job["spec"]["trainer"]
    assert trainer["image"] == tuner_image("GPU")
    assert trainer["resourcesPerNode"] == {
        "requests": {"cpu": "96", "memory": "900Gi"},
        "limits": {"memory": "1000Gi", "amd.com/gpu": "8"},
    }
    variables = {one["name"]: one for one in trainer["env"]}
    assert variables["AWS_ENDPOINT_URL"]["value"] == "http://minio.test:9000"
    assert variables["TMPDIR"]["value"] == "/mnt/of-pod"
    token = variables["HF_TOKEN"]["valueFrom"]["secretKeyRef"]
    assert token == {"name": "hub-token", "key": "token", "optional": True}
    assert "MLFLOW_USER" not in variables
    assert job["metadata"]["labels"] == {
        "example.com/team": "support",
        "kueue.x-k8s.io/queue-name": "gpus",
    }
    (patch,) = job["spec"]["runtimePatches"]
    (node,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pod = node["template"]["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"pool": "h100"}
    assert pod["tolerations"] == [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert pod["imagePullSecrets"] == [{"name": "registry-login"}]
    (container,) = pod["containers"]
    assert container["securityContext"] == {"runAsUser": 20002, "runAsNonRoot": True}
    paths = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert paths == {"/dev/shm", "/mnt/shared", "/var/secrets/gcs", "/mnt/of-pod"}
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        volume["name"] for volume in pod["volumes"]
    }


def test_a_job_is_the_same_for_every_try_of_one_task_alone() -> None:
    options = options_from({"checkpoint_root": "s3://c", "train_job": {"enabled": True}})
    settings = TrainJobSettings.from_json(train_job_input(options))
    names = {
        train_job(settings, ["python3"], 2, run, key, {})["metadata"]["name"]
        for run, key in (("1", "a"), ("1", "a"), ("1", "b"), ("2", "a"))
    }
    assert len(names) == 3
    jsonschema.validate(job_of(options), SCHEMA)


def test_by_default_there_is_none() -> None:
    assert train_job_input(default_options()) == ""


def test_the_task_takes_no_gpu_and_the_plan_knows_the_nodes() -> None:
    text = template_text("tune-large-model", kubeflow_platform(everything()))
    needs = cluster_needs(list(yaml.load_all(text, Loader=yaml.CSafeLoader)))
    assert (needs.runtime, needs.queue) == ("torch-distributed", "gpus")
    assert tuner_image("GPU") in needs.images
    pods = {pod.task: pod for pod in needs.pods}
    assert pods["large-language-model-tuner"].resources == {"cpu": "1", "memory": "4Gi"}
    node = pods["large-language-model-tuner's TrainJob"]
    assert node.labels == {"pool": "h100"}
    assert node.resources == {"cpu": "96", "memory": "900Gi", "amd.com/gpu": "8"}
