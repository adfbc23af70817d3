"""deploy-to-kserve against a cluster on loopback: done once, waited for, asked, and its faults."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kfp_llm_tuning.components.common import kubernetes_objects
from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.upload import deploy_to_kserve, kserve, kserve_readiness
from kfp_llm_tuning.components.upload.kserve import KserveDeployment, KserveTask, deploy
from kfp_llm_tuning.components.upload.kserve_service import KserveServing
from tests.components.upload.kserve_cluster import Cluster, Fault, running, write_kubeconfig

TASK = KserveTask(
    model_resource_name="models/router@1",
    saved_model_uri="minio://mlpipeline/v2/artifacts/run-1/saved_model",
    display_name="router",
    model_reference="byte-tiny",
    run_id="run-1",
    deploy_model=True,
    serving=KserveServing(image="registry.test/serving:1", ready_timeout_seconds=20),
)
NEXT = dataclasses.replace(
    TASK,
    model_resource_name="models/router@2",
    saved_model_uri="s3://bucket/run-2/saved_model",
    run_id="run-2",
)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setattr(kserve_readiness, "_PAUSE", 0.01)
    monkeypatch.setattr(kubernetes_objects, "_PAUSES", (0.01,) * 4)
    with running(Cluster()) as stand_in:
        write_kubeconfig(tmp_path / "kubeconfig", stand_in.url)
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        yield stand_in


def lasting(seconds: float) -> KserveTask:
    serving = dataclasses.replace(TASK.serving, ready_timeout_seconds=seconds)
    return dataclasses.replace(TASK, serving=serving)


def variables(cluster: Cluster) -> dict[str, str]:
    (container,) = cluster.objects["router"]["spec"]["predictor"]["containers"]
    return {entry["name"]: entry["value"] for entry in container["env"]}


def refusal(task: KserveTask = TASK) -> str:
    with pytest.raises(UserError) as caught:
        deploy(task)
    return str(caught.value)


def test_a_model_is_served_and_asked(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert deploy(TASK) == KserveDeployment("team-a/router", "http://router.example.com")
    assert cluster.asked == [
        {
            "instances": [{"prompt": "Hello"}],
            "parameters": {"maxOutputTokens": 1, "temperature": 0},
        }
    ]
    assert variables(cluster)["STORAGE_URI"] == "s3://mlpipeline/v2/artifacts/run-1/saved_model"
    assert "team-a/router answered a prediction in" in caplog.text


def test_a_repeated_task_changes_nothing(cluster: Cluster) -> None:
    assert deploy(TASK) == deploy(TASK)
    assert cluster.objects["router"]["metadata"]["generation"] == 1
    assert cluster.calls.count("POST") == 1


def test_the_next_version_takes_the_service_over(cluster: Cluster) -> None:
    deploy(TASK)
    changed = cluster.objects["router"]
    changed["spec"]["transformer"] = {"containers": [{"name": "ours"}]}
    changed["metadata"]["labels"]["team"] = "support"
    cluster.looks = 5  # Until then the service is ready: with the version before.
    deploy(NEXT)
    found = cluster.objects["router"]
    assert found["metadata"]["annotations"]["kfp-llm-tuning/model"] == "models/router@2"
    assert found["metadata"]["generation"] == 2
    assert found["metadata"]["labels"]["team"] == "support"
    assert found["spec"]["transformer"]
    assert variables(cluster)["STORAGE_URI"] == "s3://bucket/run-2/saved_model"
    assert cluster.calls.count("GET") > 5
    assert len(cluster.asked) == 2


def test_a_chat_model_is_asked_in_a_conversation(cluster: Cluster) -> None:
    cluster.answer = (200, {"predictions": [{"candidates": [{"content": "Hi.", "author": "1"}]}]})
    deploy(dataclasses.replace(TASK, model_reference="chat-bison@002"))
    assert cluster.asked[0]["instances"] == [{"messages": [{"author": "user", "content": "Hello"}]}]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"model_resource_name": ""}, "no model was registered"),
        ({"deploy_model": False}, "deploy_model is false"),
    ],
)
def test_nothing_to_deploy(
    cluster: Cluster, change: dict[str, Any], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert deploy(dataclasses.replace(TASK, **change)) == KserveDeployment()
    assert cluster.calls == []
    assert why in caplog.text


@pytest.mark.parametrize(
    "faults",
    [
        [Fault("GET", 500), Fault("POST", 503), Fault("GET", 429), Fault("GET", 502)],
        [Fault("POST", 504, done=True)],
        [Fault("POST", 409, "somebody was faster", done=True)],
    ],
    ids=["in trouble", "answer lost", "another was faster"],
)
def test_what_passes_is_waited_out(cluster: Cluster, faults: list[Fault]) -> None:
    cluster.faults = faults
    deploy(TASK)
    assert cluster.faults == []
    assert cluster.objects["router"]["metadata"]["generation"] == 1


def test_an_update_that_crosses_another_is_made_anew(cluster: Cluster) -> None:
    deploy(TASK)
    cluster.faults = [Fault("PUT", 409, "the object has been modified"), Fault("PUT", 503)]
    deploy(NEXT)
    assert cluster.objects["router"]["metadata"]["generation"] == 2


def test_what_lasts_is_told(cluster: Cluster) -> None:
    cluster.faults = [Fault("GET", 500, "etcd is down") for _ in range(5)]
    assert "Kubernetes: team-a/router: etcd is down (HTTP 500)" in refusal()


def test_a_missing_permission_is_told(cluster: Cluster) -> None:
    cluster.faults = [Fault("POST", 403, 'User "runner" cannot create resource')]
    told = refusal()
    assert 'User "runner" cannot create resource (HTTP 403)' in told
    assert "get, create, update and delete inferenceservices.serving.kserve.io" in told


def test_a_cluster_without_kserve_is_told(cluster: Cluster) -> None:
    cluster.has_kserve = False
    assert "Install KServe" in refusal()


def test_what_kserve_refuses_is_told(cluster: Cluster) -> None:
    serving = dataclasses.replace(TASK.serving, min_replicas=3)
    told = refusal(dataclasses.replace(TASK, serving=serving))
    assert "minReplicas cannot be greater than maxReplicas (HTTP 422)" in told


def test_an_api_server_that_is_not_there_is_told(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_kubeconfig(tmp_path / "elsewhere", "http://127.0.0.1:9")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "elsewhere"))
    assert "the API server cannot be reached" in refusal()


def test_no_cluster_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert "no cluster is known here" in refusal()


def test_a_service_that_is_never_ready_says_why(cluster: Cluster) -> None:
    cluster.not_ready = {
        "conditions": [
            {"type": "IngressReady", "status": "True"},
            {
                "type": "PredictorReady",
                "status": "False",
                "reason": "RevisionFailed",
                "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
            },
        ]
    }
    cluster.looks = 10**6
    told = refusal(lasting(0.2))
    assert "InferenceService team-a/router did not answer in 0 seconds" in told
    assert "PredictorReady RevisionFailed 0/3 nodes are available" in told
    assert "IngressReady" not in told
    assert "kubectl describe inferenceservice router --namespace team-a" in told


def test_a_model_that_fails_to_load_is_given_up(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kserve_readiness, "_PATIENCE", 0.05)
    cluster.looks = 10**6
    cluster.not_ready = {
        "modelStatus": {
            "transitionStatus": "BlockedByFailedLoad",
            "lastFailureInfo": {"reason": "ModelLoadFailed", "message": "no such bucket"},
        }
    }
    told = refusal()
    assert "fails to load its model" in told
    assert "ModelLoadFailed no such bucket" in told


def test_a_version_that_never_comes_is_told_though_the_service_is_ready(cluster: Cluster) -> None:
    deploy(TASK)
    cluster.looks = 10**6
    serving = lasting(0.2).serving
    told = refusal(dataclasses.replace(NEXT, serving=serving))
    assert "is ready, but" in told
    assert "answers 404" in told


def test_a_service_that_is_deleted_meanwhile_is_told(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.looks = 10**6
    looked = []

    def delete(_: float) -> None:
        looked.append(1)
        cluster.objects.clear()

    monkeypatch.setattr(kserve_readiness.time, "sleep", delete)
    assert "was deleted" in refusal()
    assert looked


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((500, {"error": {"message": "out of memory"}}), "HTTP 500: out of memory"),
        ((200, {"predictions": []}), "could not get a prediction from team-a/router: []"),
        ((200, {"answers": []}), "KeyError"),
        ((200, "Hi."), "could not get a prediction"),
    ],
)
def test_a_model_that_does_not_answer_is_told(
    cluster: Cluster, answer: tuple[int, Any], told: str
) -> None:
    cluster.answer = answer
    assert told in refusal()


def test_a_mesh_that_keeps_pods_out_is_a_warning(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.guarded = 403
    assert deploy(TASK).inference_service == "team-a/router"
    assert cluster.asked == []
    assert "refuses this pod (HTTP 403)" in caplog.text


def test_a_path_cannot_be_served(cluster: Cluster) -> None:
    told = refusal(dataclasses.replace(TASK, saved_model_uri="/tmp/saved_model"))
    assert "saved_model_uri: KServe cannot read '/tmp/saved_model'" in told
    assert cluster.calls == []


def test_a_pod_works_in_its_own_namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kubernetes.config import incluster_config

    for name, content in (("token", "secret"), ("ca.crt", "certificate"), ("namespace", "team-b")):
        (tmp_path / name).write_text(content)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "9")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setattr(kubernetes_objects, "_NAMESPACE_FILE", tmp_path / "namespace")
    monkeypatch.setattr(kubernetes_objects.client, "ApiClient", lambda settings: settings)
    kind = kubernetes_objects.Kind("serving.kserve.io", "v1beta1", "inferenceservices", "KServe")
    assert kubernetes_objects.KubernetesObjects(kind).namespace == "team-b"
    assert kubernetes_objects.KubernetesObjects(kind, "team-c").namespace == "team-c"


def call(**changes: Any) -> tuple[str, str]:
    outputs: tuple[str, str] = deploy_to_kserve.python_func(
        model_resource_name="models/router@1",
        saved_model_uri="gs://bucket/saved_model",
        display_name="router",
        model_reference_name="byte-tiny",
        serving_image="registry.test/serving:1",
        **changes,
    )
    return outputs


def test_the_component(cluster: Cluster) -> None:
    assert call(
        node_selector='{"gpu": "l4"}',
        tolerations='[{"operator": "Exists"}]',
        image_pull_secrets='["registry"]',
        environment='{"KFP_LLM_TUNING_SERVING_MAX_QUEUE": "8"}',
    ) == ("team-a/router", "http://router.example.com")
    predictor = cluster.objects["router"]["spec"]["predictor"]
    assert predictor["nodeSelector"] == {"gpu": "l4"}
    assert predictor["tolerations"] == [{"operator": "Exists"}]
    assert predictor["imagePullSecrets"] == [{"name": "registry"}]
    assert variables(cluster)["KFP_LLM_TUNING_SERVING_MAX_QUEUE"] == "8"


def test_every_input_that_is_no_json_is_told(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        call(labels='{"a": 1}', tolerations="{}", resources="cpu", environment="[]")
    assert caught.value.code == 1
    told = capsys.readouterr().err
    assert "4 problems" in told
    for name in ("labels", "tolerations", "resources", "environment"):
        assert f"{name}: " in told
    assert cluster.calls == []


def test_importing_the_task_loads_no_client(cluster: Cluster) -> None:
    assert "kubernetes" not in vars(kserve)
