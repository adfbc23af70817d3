"""Tests of redirecting processes, in particular those of other people's code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import fsspec
import gcsfs
import grpc
import pytest
import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud import aiplatform, aiplatform_v1, storage
from google.cloud.aiplatform_v1.services.endpoint_service import transports

from tests.vertex.local_vertex import LocalVertex, local_vertex
from tests.vertex.redirect import sitecustomize

_FOLDER = Path(sitecustomize.__file__).parent
_REPOSITORY = _FOLDER.parents[2]


def _python(code: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=_environment(environment),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _environment(variables: dict[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], **variables}


def test_does_nothing_without_its_variables() -> None:
    code = (
        "import sitecustomize, sys\n"
        "print(sitecustomize.__file__, [type(f).__name__ for f in sys.meta_path])\n"
        "print('google.auth' in sys.modules, 'requests' in sys.modules)"
    )

    result = _python(code, {"PYTHONPATH": str(_FOLDER)})

    assert str(_FOLDER) in result.stdout
    assert "PatchingFinder" not in result.stdout
    assert "False False" in result.stdout


def test_imports_nothing_by_itself(tmp_path: Path) -> None:
    with local_vertex(tmp_path) as vertex:
        heavy = {"google.auth", "google.api_core", "grpc", "requests", "kfp", "gcsfs"}
        code = f"import sys; print({heavy} & set(sys.modules))"
        assert _python(code, vertex.environment()).stdout.strip() == "set()"


def _launcher(kind: str, name: str, payload: dict[str, Any], folder: Path) -> list[str]:
    module = f"google_cloud_pipeline_components.container.v1.{name}.launcher"
    options = {
        "type": kind,
        "payload": json.dumps(payload),
        "project": "test-project",
        "location": "us-central1",
        "gcp_resources": str(folder / "gcp_resources"),
    }
    pairs = [part for key, value in options.items() for part in (f"--{key}", value)]
    return [sys.executable, "-m", module, *pairs]


def test_runs_a_launcher_that_uses_rest(idle_vertex: LocalVertex, tmp_path: Path) -> None:
    """This one calls requests with Google's host names."""
    artifact = {"name": "endpoint", "uri": "", "metadata": {}}
    outputs = {
        "artifacts": {"endpoint": {"artifacts": [artifact]}},
        "outputFile": str(tmp_path / "output.json"),
    }
    payload = {"display_name": "endpoint", "labels": {"team": "nlp"}}
    command = _launcher("CreateEndpoint", "endpoint.create_endpoint", payload, tmp_path)
    command += ["--executor_input", json.dumps({"outputs": outputs})]

    subprocess.run(command, env=_environment(idle_vertex.environment()), check=True, timeout=120)

    (endpoint,) = idle_vertex.resources("endpoints")
    assert endpoint["displayName"] == "endpoint"
    written = (tmp_path / "gcp_resources").read_text()
    assert "https://us-central1-aiplatform.googleapis.com/v1/" in written


def test_runs_a_launcher_that_uses_grpc(idle_vertex: LocalVertex, tmp_path: Path) -> None:
    pool = {
        "machine_spec": {"machine_type": "n1-standard-4"},
        "replica_count": 1,
        "container_spec": {"image_uri": "registry/image"},
    }
    payload = {"display_name": "tune", "job_spec": {"worker_pool_specs": [pool]}}
    command = _launcher("CustomJob", "custom_job", payload, tmp_path)
    process = subprocess.Popen(command, env=_environment(idle_vertex.environment()))
    try:
        while process.poll() is None and not idle_vertex.resources("customJobs"):
            time.sleep(0.05)
        (job,) = idle_vertex.resources("customJobs")
        idle_vertex.finish(job["name"])
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()

    assert job["displayName"] == "tune"
    assert {request.api for request in idle_vertex.requests} == {"grpc"}


def test_leaves_this_process_as_it_was(tmp_path: Path) -> None:
    before, send = dict(os.environ), requests.adapters.HTTPAdapter.send

    with local_vertex(tmp_path) as vertex:
        assert requests.adapters.HTTPAdapter.send is not send
        assert os.environ["STORAGE_EMULATOR_HOST"] == vertex.storage_url

    assert dict(os.environ) == before
    assert requests.adapters.HTTPAdapter.send is send


def test_one_server_after_another(tmp_path: Path) -> None:
    """Each has its own certificate, port and buckets; nothing of the first may stick."""
    for number in range(2):
        with local_vertex(tmp_path / str(number)) as vertex:
            vertex.storage.create_bucket("bucket")
            aiplatform.init(project="test-project", location="us-central1", api_transport="grpc")
            aiplatform.Endpoint.create(display_name="one")
            storage.Client().bucket("bucket").blob("a").upload_from_string("x")
            assert gcsfs.GCSFileSystem().cat("gs://bucket/a") == b"x"
            assert fsspec.open("gs://bucket/a").open().read() == b"x"
            assert len(vertex.resources("endpoints")) == 1


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_a_client_without_the_redirection(tmp_path: Path, transport: str) -> None:
    """Clients that are told the address need none."""
    vertex = LocalVertex(tmp_path)
    try:
        if transport == "rest":
            client = aiplatform_v1.EndpointServiceClient(
                transport="rest",
                credentials=AnonymousCredentials(),
                client_options={"api_endpoint": vertex.rest_url},
            )
        else:
            secrets = grpc.ssl_channel_credentials(vertex.certificate.read_bytes())
            channel = grpc.secure_channel(vertex.grpc_address, secrets)
            client = aiplatform_v1.EndpointServiceClient(
                transport=transports.EndpointServiceGrpcTransport(channel=channel)
            )
        assert list(client.list_endpoints(parent=vertex.parent)) == []
    finally:
        vertex.close()


def test_the_command_serves_until_it_is_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.vertex", "--folder", str(tmp_path), "--bucket", "mine"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_REPOSITORY)
    try:
        exports = {}
        for line in process.stdout or ():
            if line.startswith("#"):
                break
            name, _, value = line.removeprefix("export ").strip().partition("=")
            exports[name] = value
        url = f"{exports['LOCAL_VERTEX_REST']}/v1/{LocalVertex.parent}/models"
        assert requests.get(url, timeout=10).json() == {}
        assert (tmp_path / "storage" / "mine").is_dir()
    finally:
        process.terminate()
    assert process.wait(timeout=30) == 0
