"""What a compiled pipeline asks of a cluster."""

from __future__ import annotations

import yaml

from kfp_llm_tuning.components.common.images import IMAGE, SERVING_GPU_IMAGE
from kfp_llm_tuning.components.models.implemented import tuner_image
from kfp_llm_tuning.pipelines.kubeflow.pod_needs import cluster_needs
from tests.pipelines.kubeflow.conftest import Compile


def test_everything(compiled: Compile) -> None:
    documents = list(yaml.load_all(compiled("everything").text, Loader=yaml.CSafeLoader))
    needs = cluster_needs(documents)
    assert dict(needs.secrets) == {
        "gcs-account": frozenset(),
        "object-store": {"id", "key"},
        "mlflow-login": {"user"},
    }
    assert needs.pull_secrets == {"registry-login"}
    assert needs.claims == {"shared-models", "dataset-disk"}
    assert needs.storage_classes == {"fast-disks", "local-disks"}
    assert needs.kserve
    pods = {pod.task: pod for pod in needs.pods}
    tuner = pods["large-language-model-tuner"]
    assert tuner.labels == {"pool": "h100"}
    assert tuner.resources == {"cpu": "96", "memory": "900Gi", "amd.com/gpu": "8"}
    assert pods["batch-predict"].resources["amd.com/gpu"] == "2"
    assert pods["validate-pipeline"].resources == {"cpu": "1", "memory": "4Gi"}
    assert not any("pvc" in task for task in pods)
    assert not any("argostub" in image for image in needs.images)
    assert {SERVING_GPU_IMAGE, tuner_image("GPU"), IMAGE} <= needs.images


def test_a_cluster_without_accelerators(compiled: Compile) -> None:
    documents = list(yaml.load_all(compiled("cpu").text, Loader=yaml.CSafeLoader))
    needs = cluster_needs(documents)
    assert not needs.secrets and not needs.claims and not needs.kserve
    assert {name for pod in needs.pods for name in pod.resources} == {"cpu", "memory"}
    assert cluster_needs(documents[:1]).images == needs.images
