"""The InferenceService of a model: its name, its storage, its container."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.serving.settings import from_environment
from kfp_llm_tuning.components.upload.kserve_service import (
    KserveServing,
    health_route,
    inference_service,
    service_name,
    storage_uri,
)

URI = "s3://bucket/saved_model"
LEGAL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def predictor(serving: KserveServing) -> dict[str, Any]:
    body = inference_service(serving, "My Router", "models/My Router@3", URI, "run-7")
    found: dict[str, Any] = body["spec"]["predictor"]
    return found


@given(st.text(min_size=1, max_size=140))
def test_every_name_is_legal(display_name: str) -> None:
    name = service_name(display_name)
    assert LEGAL.fullmatch(name)
    assert len(name) <= 40
    assert service_name(display_name) == name


@given(st.from_regex(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", fullmatch=True))
def test_a_legal_name_is_kept(display_name: str) -> None:
    assert service_name(display_name) == display_name


@given(st.lists(st.text(min_size=1, max_size=60), unique=True, max_size=20))
def test_models_of_different_names_have_services_of_their_own(names: list[str]) -> None:
    assert len({service_name(name) for name in names}) == len(names)


@pytest.mark.parametrize(
    ("given_uri", "read"),
    [
        ("minio://mlpipeline/v2/artifacts/m", "s3://mlpipeline/v2/artifacts/m"),
        ("s3://bucket/m?endpoint=minio:9000&region=x", "s3://bucket/m"),
        ("gs://bucket/m", "gs://bucket/m"),
        ("pvc://claim/m", "pvc://claim/m"),
    ],
)
def test_where_kserve_reads(given_uri: str, read: str) -> None:
    assert storage_uri(given_uri) == read


@pytest.mark.parametrize("path", ["/data/m", "file:///data/m", "saved_model"])
def test_kserve_reads_no_path(path: str) -> None:
    with pytest.raises(UserError, match="saved_model_uri"):
        storage_uri(path)


def test_what_a_service_says_of_itself() -> None:
    serving = KserveServing(
        "image", labels={"team": "a"}, annotations={"kfp-llm-tuning/run": "mine"}
    )
    body = inference_service(serving, "My Router", "models/My Router@3", URI, "run-7")
    metadata = body["metadata"]
    assert metadata["name"].startswith("my-router-")
    assert metadata["labels"] == {"team": "a", "app.kubernetes.io/managed-by": "kfp-llm-tuning"}
    assert metadata["annotations"] == {
        "serving.knative.dev/progress-deadline": "1800s",
        "kfp-llm-tuning/display-name": "My Router",
        "kfp-llm-tuning/model": "models/My Router@3",
        "kfp-llm-tuning/run": "run-7",
    }


def test_what_is_not_set_is_left_out() -> None:
    assert predictor(KserveServing("image", min_replicas=0)).keys() == {
        "minReplicas",
        "maxReplicas",
        "containers",
    }


def test_what_is_set_is_there() -> None:
    resources = {"limits": {"nvidia.com/gpu": "1"}, "requests": {"cpu": "4"}}
    found = predictor(
        KserveServing(
            "registry.test/serving-gpu:1",
            service_account="reader",
            resources=resources,
            shared_memory="2Gi",
            node_selector={"gpu": "l4"},
            tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}],
            image_pull_secrets=["registry"],
        )
    )
    (container,) = found["containers"]
    assert found["serviceAccountName"] == "reader"
    assert found["imagePullSecrets"] == [{"name": "registry"}]
    assert found["volumes"] == [
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}}
    ]
    assert container["volumeMounts"] == [{"name": "shm", "mountPath": "/dev/shm"}]
    assert container["resources"] == resources
    assert container["image"] == "registry.test/serving-gpu:1"


def test_the_server_takes_its_variables() -> None:
    (container,) = predictor(KserveServing("image", environment={"AIP_HTTP_PORT": "1"}))[
        "containers"
    ]
    settings = from_environment({entry["name"]: entry["value"] for entry in container["env"]})
    assert settings.model == "/mnt/models"
    assert settings.port == container["ports"][0]["containerPort"] == 8080
    assert settings.health_route == container["readinessProbe"]["httpGet"]["path"]
    assert settings.health_route == health_route("run-7", URI)
    assert settings.predict_route == "/predict"
    assert settings.model_name == service_name("My Router")


def test_every_version_has_a_health_route_of_its_own() -> None:
    routes = {health_route("1", URI), health_route("2", URI), health_route("1", f"{URI}2")}
    assert len(routes) == 3
