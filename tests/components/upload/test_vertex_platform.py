from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from google_cloud_pipeline_components.proto.gcp_resources_pb2 import GcpResources

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.manifest import write_manifest
from kfp_llm_tuning.components.upload import platforms, vertex_platform
from kfp_llm_tuning.components.upload.tasks import Uploaded
from tests.components.upload.vertex_tasks import deploy_task, upload_task
from tests.vertex.local_vertex import LocalVertex


def test_a_closed_gate_registers_nothing(
    vertex_server: LocalVertex, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    closed = {"upload_model": False, "reason": "exact_match 0.1 < 0.5"}
    assert platforms.upload(upload_task(vertex_server, tmp_path, **closed)) == Uploaded()
    assert "exact_match 0.1 < 0.5" in caplog.text
    assert vertex_server.requests == []


def test_without_a_registry_it_is_vertex_ai(vertex_server: LocalVertex, tmp_path: Path) -> None:
    uploaded = platforms.upload(upload_task(vertex_server, tmp_path))
    platforms.deploy(deploy_task(vertex_server, uploaded.model_resource_name))
    assert len(vertex_server.resources("endpoints")) == 1


def test_records_are_what_google_writes(vertex_server: LocalVertex, tmp_path: Path) -> None:
    uploaded = platforms.upload(upload_task(vertex_server, tmp_path))
    record = json_format.Parse(uploaded.gcp_resources, GcpResources()).resources[0]
    assert record.resource_type == "VertexLro"
    assert record.resource_uri.startswith("https://us-central1-aiplatform.googleapis.com/v1/proj")


@pytest.mark.parametrize(
    ("changes", "problems"),
    [
        ({"serving_image": ""}, ["serving_image"]),
        (
            {"saved_model_uri": "/tmp/model", "run_id": "", "serving_image": ""},
            ["saved_model", "run_id", "serving_image"],
        ),
        ({"project": "", "location": ""}, ["project", "location"]),
        ({"version_aliases": "1"}, ["version_aliases"]),
        ({"labels": "[]"}, ["labels"]),
    ],
)
def test_mistakes_before_anything_is_sent(
    vertex_server: LocalVertex, tmp_path: Path, changes: dict[str, Any], problems: list[str]
) -> None:
    with pytest.raises(UserError) as caught:
        platforms.upload(upload_task(vertex_server, tmp_path, **changes))
    assert [problem.where for problem in caught.value.problems] == problems
    assert vertex_server.requests == []


def test_run_labels_that_are_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(vertex_platform.RUN_LABELS_VARIABLE, "{")
    assert vertex_platform.run_labels() == {}
    assert "holds no labels" in caplog.text
    monkeypatch.delenv(vertex_platform.RUN_LABELS_VARIABLE)
    assert vertex_platform.run_labels() == {}


def test_nothing_heavy_is_imported_before_it_is_used() -> None:
    script = (
        "import sys, kfp_llm_tuning.components.upload.platforms\n"
        "import kfp_llm_tuning.components.dataset.export\n"
        "heavy = {'google.api_core', 'google.cloud.aiplatform_v1', 'grpc', 'mlflow', 'kfp'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_weights_that_were_cut_off_are_not_registered(
    vertex_server: LocalVertex, tmp_path: Path
) -> None:
    task = upload_task(vertex_server, tmp_path)
    write_manifest(task.saved_model)
    (task.saved_model / "model.safetensors").write_bytes(bytes(750_000))
    with pytest.raises(UserError, match="model.safetensors has 750,000 bytes, not 1,500,000"):
        platforms.upload(task)
    assert vertex_server.requests == []
