"""Compiled templates: compiling takes seconds, so each is compiled once a session."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import yaml

from kfp_llm_tuning.pipelines.graphs.compile import template_text
from kfp_llm_tuning.pipelines.kubeflow.options_file import default_options, options_from
from kfp_llm_tuning.pipelines.kubeflow.platform import kubeflow_platform

# Every option that a template can show, each with a value that no default has.
EVERYTHING: dict[str, Any] = {
    "mlflow_tracking_uri": "http://mlflow.models:5000",
    "checkpoint_root": "s3://tuning/checkpoints",
    "run_volume": {"size": "321Gi", "storage_class": "fast-disks", "mount_path": "/mnt/of-run"},
    "claims": [
        {"claim": "shared-models", "mount_path": "/mnt/shared"},
        {
            "claim": "dataset-disk",
            "mount_path": "/mnt/data",
            "sub_path": "text",
            "tasks": ["light"],
        },
    ],
    "secret_environment": [
        {"secret": "hub-token", "keys": {"token": "HF_TOKEN"}, "optional": True},
        {
            "secret": "object-store",
            "keys": {"id": "AWS_ACCESS_KEY_ID", "key": "AWS_SECRET_ACCESS_KEY"},
        },
        {"secret": "mlflow-login", "keys": {"user": "MLFLOW_USER"}, "tasks": ["registry"]},
    ],
    "secret_files": [{"secret": "gcs-account", "mount_path": "/var/secrets/gcs"}],
    "environment": {"AWS_ENDPOINT_URL": "http://minio.test:9000"},
    "image_pull_secrets": ["registry-login"],
    "image_pull_policy": "IfNotPresent",
    "pod_labels": {"example.com/team": "support"},
    "pod_annotations": {"sidecar.istio.io/inject": "false"},
    "security_context": {"run_as_user": 20002, "run_as_non_root": True},
    "scratch": {"size": "654Gi", "storage_class": "local-disks", "mount_path": "/mnt/of-pod"},
    "gpu_resource": "amd.com/gpu",
    "retry_pause_seconds": 30,
    "retry_pause_factor": 3,
    "tasks": {
        "light": {"cpu_limit": "3", "retries": 1},
        "tuner": {
            "machine": "h100-8",
            "cpu_request": "96",
            "memory_request": "900Gi",
            "memory_limit": "1000Gi",
            "shared_memory": "77Gi",
            "node_selector": {"pool": "h100"},
            "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "timeout_seconds": 1000,
        },
        "predictor": {"machine": "l4-8", "accelerator_count": 2},
    },
    "kserve": {"enabled": True, "machine": "l4-1", "namespace": "models", "max_replicas": 3},
}


class Compiled:
    """One compiled template.

    Attributes:
        text: The file.
        spec: The pipeline spec.
        executors: What Kubernetes is told, by executor.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.spec, platform = yaml.load_all(text, Loader=yaml.CSafeLoader)
        assert set(platform["platforms"]) == {"kubernetes"}
        self.platform = platform
        self.executors: dict[str, Any] = platform["platforms"]["kubernetes"]["deploymentSpec"][
            "executors"
        ]

    def container(self, task: str) -> dict[str, Any]:
        """Gives the container of a task, by the task's name."""
        executor = self.spec["deploymentSpec"]["executors"][f"exec-{task}"]
        container: dict[str, Any] = executor["container"]
        return container

    def settings(self, task: str) -> dict[str, Any]:
        """Gives what Kubernetes is told of a task."""
        settings: dict[str, Any] = self.executors[f"exec-{task}"]
        return settings

    def tasks(self) -> dict[str, dict[str, Any]]:
        """Lists the tasks that run a container, by their executor's name."""
        components = self.spec["components"]
        found = {}
        for component in (self.spec["root"], *components.values()):
            for task in component.get("dag", {}).get("tasks", {}).values():
                label = components[task["componentRef"]["name"]].get("executorLabel")
                if label:
                    found[label.removeprefix("exec-")] = task
        return found


Compile = Callable[..., Compiled]


@pytest.fixture(scope="session")
def compiled() -> Compile:
    """Compiles a template with the default options, with all, or without accelerators."""

    @cache
    def of(options: str = "default", template: str = "tune-large-model") -> Compiled:
        chosen = options_from(EVERYTHING) if options == "everything" else default_options()
        if options == "cpu":
            chosen = chosen.without_accelerators()
        return Compiled(template_text(template, kubeflow_platform(chosen, {"team": "support"})))

    return of
