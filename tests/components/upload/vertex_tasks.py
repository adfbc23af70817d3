"""Tasks of this stage as a pipeline on the local Vertex AI gives them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.tuning.tensorboard_metrics import MetricsWriter
from kfp_llm_tuning.components.upload.tasks import CurvesTask, DeployTask, UploadTask
from tests.vertex.local_vertex import LocalVertex

RUN = "tune-large-model-20261124"
LOCATION = "us-central1"
PARENT = f"projects/test-project/locations/{LOCATION}"
IMAGE = "us-docker.pkg.dev/p/r/kfp-llm-tuning-serving:0.1.0"
GPU_IMAGE = "us-docker.pkg.dev/p/r/kfp-llm-tuning-serving-gpu:0.1.0"


def upload_task(server: LocalVertex, folder: Path, **changes: object) -> UploadTask:
    """An upload of a small model that lies in the bucket; the weights are no weights."""
    model = server.storage_folder / "bucket" / "run-1" / "model"
    model.mkdir(parents=True, exist_ok=True)
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(bytes(1_500_000))
    provenance = {
        "checkpoint": "hf://Qwen/Qwen2.5-7B-Instruct",
        "revision": "a09a354",
        "dataset": {"examples": 12, "source_uri": "gs://b/t.jsonl", "source_sha256": "ab" * 32},
        "steps": 3,
    }
    (model / "tuning.json").write_text(json.dumps(provenance))
    values = {
        "saved_model": model,
        "saved_model_uri": "gs://bucket/run-1/model",
        "tensorboard_metrics": folder / "metrics",
        "evaluation": folder / "evaluation",
        "validation_report": folder / "validation.html",
        "display_name": "Support intents",
        "model_reference": "text-bison@002",
        "run_id": RUN,
        "registry_uri": "",
        "project": server.project,
        "location": LOCATION,
        "regional_endpoint": f"https://{LOCATION}-aiplatform.googleapis.com/ui",
        "serving_image": IMAGE,
        "serving_gpu_image": GPU_IMAGE,
    }
    return UploadTask(**{**values, **changes})  # type: ignore[arg-type]


def deploy_task(server: LocalVertex, model: str, **changes: object) -> DeployTask:
    """A deployment of a registered model."""
    values = {
        "model_resource_name": model,
        "display_name": "Support intents",
        "registry_uri": "",
        "run_id": RUN,
        "project": server.project,
        "location": LOCATION,
        "regional_endpoint": f"https://{LOCATION}-aiplatform.googleapis.com/ui",
    }
    return DeployTask(**{**values, **changes})  # type: ignore[arg-type]


def curves_task(server: LocalVertex, folder: Path, tensorboard: str) -> CurvesTask:
    """An upload of two curves of three points."""
    metrics = folder / "metrics"
    if not metrics.is_dir():
        writer = MetricsWriter(metrics)
        for step in (1, 2, 3):
            writer.write(
                {
                    "step": step,
                    "wall_time": 1_700_000_000.25 + step,
                    "/train_total_loss": 4.1 / step,
                    "/eval_total_loss": 5.3 / step,
                }
            )
        writer.close()
    return CurvesTask(
        project=server.project,
        location=LOCATION,
        tensorboard=tensorboard,
        metrics_directory=metrics,
        experiment_name="large-language-model-tuner-77-88",
    )


def answer(model: Mapping[str, Any], instances: Sequence[Any], parameters: Any) -> list[Any]:
    """Answers predictions as the server of a deployed model does, for `predict_with`."""
    prediction = {"content": "Hi.", "safetyAttributes": {"blocked": False}}
    return [
        {"candidates": [prediction]} if "messages" in instance else prediction
        for instance in instances
    ]
