"""``plan`` against the local Vertex AI: everything at once, nothing changed."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from kfp_llm_tuning.components.common.images import image_name
from kfp_llm_tuning.components.common.vertex import Vertex
from tests.pipelines.conftest import EXAMPLE, REGISTRY, Call
from tests.vertex.images import SERVING_IMAGE
from tests.vertex.local_vertex import LocalVertex
from tests.vertex.project_facts import ProjectFacts

QUOTA = "aiplatform.googleapis.com/custom_model_training_nvidia_a100_80gb_gpus"
BOARD = "projects/test-project/locations/us-central1/tensorboards/1"
KEY = "projects/test-project/locations/us-central1/keyRings/r/cryptoKeys/k"
L4_QUOTA = "aiplatform.googleapis.com/custom_model_training_nvidia_l4_gpus"
SERVING_QUOTA = "aiplatform.googleapis.com/custom_model_serving_cpus"
TUNER_IMAGE = image_name("gpu", REGISTRY)
PREDICTION_IMAGE = image_name("serving-gpu", REGISTRY)
EVALUATED = ["--evaluation-data-uri", "gs://bucket/evaluation.jsonl"]
GATED = ["--gate-metric", "exact_match", "--gate-threshold", "0.5"]
# What asks and changes nothing.
READING = (".get", ".list", "Get", "List", "testIamPermissions", "getIamPolicy", "unknown")


@pytest.fixture
def server(vertex_server: LocalVertex) -> Iterator[LocalVertex]:
    """With the example's data in its bucket, and facts that a test may change."""
    facts = vertex_server.backend.project_facts
    vertex_server.backend.project_facts = ProjectFacts(quotas={QUOTA: {"us-central1": 8}})
    for name in ("train", "evaluation"):
        target = vertex_server.storage_folder / "bucket" / f"{name}.jsonl"
        shutil.copy(EXAMPLE / f"{name}.jsonl", target)
    yield vertex_server
    vertex_server.backend.project_facts = facts


@pytest.fixture
def plan_words(job_words: list[str]) -> list[str]:
    return ["plan", *job_words, "--image-registry", REGISTRY]


def checks_of(call: Call, words: list[str], code: int = 1) -> dict[str, dict[str, Any]]:
    result = call(*words, "--json")
    assert result.exit_code == code, result.stdout
    return {
        f"{check['subject']}: {check['status']}": check
        for check in json.loads(result.stdout)["checks"]
    }


def test_a_run_that_is_ready(server: LocalVertex, call: Call, plan_words: list[str]) -> None:
    words = [*plan_words, "--evaluation-data-uri", "gs://bucket/evaluation.jsonl"]
    result = call(*words)
    assert result.exit_code == 0, result.stdout
    printed = result.stdout
    for text in (
        "✓ credentials",
        "✓ quota",
        "custom_model_training_nvidia_a100_80gb_gpus in us-central1: 8, a100-80gb-8 takes 8",
        "✓ bucket",
        "✓ service account",
        "✓ images",
        "✓ dataset",
        "400 examples can be tuned on",
        "300 steps of 8 examples, 6.00 epochs",
        "Assumptions:",
        "are no offer",
        "✓ Ready to submit.",
    ):
        assert text in printed


def test_nothing_is_changed(server: LocalVertex, call: Call, plan_words: list[str]) -> None:
    call(*plan_words, "--encryption-spec-key-name", KEY)
    methods = {request.method for request in server.requests}
    assert len(methods) > 8
    assert all(any(word in method for word in READING) for method in methods), methods


def test_the_first_run_of_a_project_is_told(
    server: LocalVertex, call: Call, plan_words: list[str]
) -> None:
    checks = checks_of(call, plan_words, 0)
    assert "create any Vertex AI dataset" in checks["metadata store: warning"]["fix"]


def test_everything_that_is_wrong_is_told_at_once(
    server: LocalVertex, call: Call, plan_words: list[str]
) -> None:
    server.backend.project_facts = ProjectFacts(
        disabled_apis={"cloudkms.googleapis.com"},
        missing_permissions={"aiplatform.pipelineJobs.create"},
        service_accounts=set(),
        quotas={QUOTA: {"us-central1": 4}},
        keys={},
        repositories=set(),
    )
    words = [
        *plan_words,
        *("--dataset-uri", "gs://bucket/none.jsonl", "--pipeline-root", "gs://no-such-bucket/x"),
        *("--tensorboard-resource-id", BOARD, "--encryption-spec-key-name", KEY),
        *("--persistent-resource", "none"),
        *("--parent-model", "projects/test-project/locations/us-central1/models/9"),
    ]
    checks = checks_of(call, words)
    for subject, text, fix in (
        ("APIs", "cloudkms.googleapis.com", "gcloud services enable cloudkms.googleapis.com"),
        ("permissions", "aiplatform.pipelineJobs.create", "roles/aiplatform.user"),
        ("quota", "4, but a100-80gb-8 takes 8", "Ask for more"),
        ("bucket", "there is no bucket no-such-bucket", "gcloud storage buckets create"),
        ("service account", "there is no 1234-compute@", "Enable the Compute Engine API"),
        ("encryption key", "there is no key", ""),
        ("images", "there is no repository", f"make images IMAGE_REGISTRY={REGISTRY} PUSH=1"),
        ("tensorboard_resource_id", "there is no", ""),
        ("parent_model", "there is no", ""),
        ("persistent_resource", "there is no", ""),
        ("dataset", "no file at gs://bucket/none.jsonl", "spelling"),
    ):
        check = checks[f"{subject}: problem"]
        assert text in check["text"], check
        assert fix in check["fix"], check


@pytest.mark.parametrize(
    ("facts", "words", "subject", "text"),
    [
        ({"missing_permissions": {"iam.serviceAccounts.actAs"}}, [], "service account: problem",
         "may not act as"),
        ({"role_members": {}}, [], "service account: warning", "aiplatform.metadataStores.get"),
        ({"keys": {KEY: "DISABLED"}}, ["--encryption-spec-key-name", KEY],
         "encryption key: problem", "is disabled"),
        ({"hidden_quotas": {QUOTA}}, [], "quota: unknown", "does not say how much there is"),
        ({}, ["--tuning-strategy", "SPOT"], "quota: ok",
         "custom_model_training_preemptible_nvidia_a100_80gb_gpus in us-central1: 64"),
        ({"missing_images": {TUNER_IMAGE}}, [], "images: problem",
         f"there is no {TUNER_IMAGE}, for large-language-model-tuner"),
        ({"missing_images": {PREDICTION_IMAGE}}, EVALUATED, "images: problem",
         f"there is no {PREDICTION_IMAGE}, for batch-predict"),
        ({"missing_images": {PREDICTION_IMAGE}}, [], "images: ok", "kfp-llm-tuning-serving:"),
        ({"missing_images": {SERVING_IMAGE}}, [], "images: problem",
         f"there is no {SERVING_IMAGE}, for the endpoint"),
        ({"quotas": {L4_QUOTA: {"us-central1": 0}}}, [*EVALUATED, *GATED], "quota: problem",
         f"{L4_QUOTA.rpartition('/')[2]} in us-central1: 0, but l4-1 takes 1 (for batch-predict)"),
        ({"quotas": {L4_QUOTA: {"us-central1": 0}}}, EVALUATED, "quota: warning",
         "Without it there is no evaluation, and the model is registered."),
        ({"quotas": {SERVING_QUOTA: {"us-central1": 2}}}, [], "quota: problem",
         "2, but e2-standard-4 takes 4 (for the endpoint)"),
        ({"missing_machines": {"us-central1": {"a2-ultragpu-8g"}}}, [], "machine: problem",
         "us-central1 has no a2-ultragpu-8g, for large-language-model-tuner. It is in "),
        ({"missing_machines": {"us-central1": {"g2-standard-12"}}}, EVALUATED, "machine: warning",
         "us-central1 has no g2-standard-12, for batch-predict."),
        ({"numbers": {}}, [], "credentials: problem", "test-project"),
    ],
)  # fmt: skip
def test_one_thing_that_is_wrong(
    server: LocalVertex,
    call: Call,
    plan_words: list[str],
    facts: dict[str, Any],
    words: list[str],
    subject: str,
    text: str,
) -> None:
    server.backend.project_facts = dataclasses.replace(server.project_facts, **facts)
    result = call(*plan_words, *words, "--json")
    made = json.loads(result.stdout)
    texts = [
        check["text"]
        for check in made["checks"]
        if f"{check['subject']}: {check['status']}" == subject
    ]
    assert any(text in one for one in texts), result.stdout
    assert (result.exit_code == 1) == subject.endswith("problem")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ["--accelerator-type", "TPU"],
            "accelerator_type: no engine of this version tunes on TPU.",
        ),
        (["--region", "europe-west4"], "is empty, which means TPU in europe-west4"),
    ],
)
def test_what_nothing_tunes_on_is_neither_ready_nor_priced(
    server: LocalVertex, call: Call, plan_words: list[str], words: list[str], text: str
) -> None:
    result = call(*plan_words, *words)
    assert result.exit_code == 1
    assert text in result.stdout and "Not ready" in result.stdout
    assert "$" not in result.stdout


def test_mistakes_in_parameters_do_not_hide_the_others(
    server: LocalVertex, call: Call, plan_words: list[str]
) -> None:
    words = [*plan_words, "--train-steps", "10000001", "--accelerator-type", "NPU"]
    result = call(*words, "--pipeline-root", "gs://no-such-bucket/x", "--json")
    texts = [check["text"] for check in json.loads(result.stdout)["checks"]]
    for text in ("train_steps", "accelerator_type", "there is no bucket no-such-bucket"):
        assert any(text in one for one in texts)


@pytest.mark.parametrize(
    "words",
    [
        ["--train-steps", "many", "--deploy-model", "perhaps"],
        ["--large-model-reference", "text-bisn@001", "--template", "tune-large-model"],
        ["--max-context-length", "9k", "--tuning-method", "none"],
        ["--parent-model", "projects/x", "--region", "mars"],
        ["--project", "no such project"],
        ["--pipeline-root", "", "--dataset-uri", ""],
    ],
)
def test_no_mistake_gives_a_traceback(
    server: LocalVertex, call: Call, plan_words: list[str], words: list[str]
) -> None:
    result = call(*plan_words, *words)
    assert result.exit_code == 1
    assert "✗ Not ready" in result.stdout


def test_a_bad_dataset_is_told_as_validate_does(
    server: LocalVertex, call: Call, plan_words: list[str]
) -> None:
    path = server.storage_folder / "bucket" / "train.jsonl"
    path.write_text('{"input_text": "x"}\n' * 20, encoding="utf-8")
    check = checks_of(call, plan_words)["dataset: problem"]
    assert "output_text" in check["text"] or "examples" in check["text"]


def test_a_bucket_elsewhere_is_a_warning(
    server: LocalVertex, call: Call, plan_words: list[str]
) -> None:
    server.storage.create_bucket("far", "europe-west4")
    checks = checks_of(call, [*plan_words, "--pipeline-root", "gs://far/x"], 0)
    assert "far is in europe-west4" in checks["bucket: warning"]["text"]


def test_a_look_that_is_refused_is_not_known(
    server: LocalVertex, call: Call, plan_words: list[str]
) -> None:
    server.faults.inject("serviceusage.consumerQuotaMetrics.list", "permission")
    assert "quota: unknown" in checks_of(call, plan_words, 0)


def test_a_look_that_fails_is_tried_again(
    server: LocalVertex, no_backoff: None, call: Call, plan_words: list[str]
) -> None:
    for method in ("serviceusage.services.get", "storage.buckets.get", "iam.serviceAccounts.get"):
        server.faults.inject(method, "unavailable", 2)
    checks_of(call, plan_words, 0)
    assert server.faults.waiting == []


def test_no_credentials(
    server: LocalVertex, call: Call, plan_words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    def none(*_: object, **__: object) -> None:
        raise DefaultCredentialsError("no credentials")

    monkeypatch.setattr(google.auth, "default", none)
    check = checks_of(call, plan_words)["credentials: problem"]
    assert "gcloud auth application-default login" in check["fix"]


def test_a_managed_dataset(server: LocalVertex, call: Call, plan_words: list[str]) -> None:
    dataset = "projects/test-project/locations/us-central1/datasets/1"
    words = [*plan_words, "--dataset-uri", "", "--dataset-name", dataset]
    checks = checks_of(call, words)
    assert "is read by the run only" in checks["dataset: unknown"]["text"]
    assert "there is no" in checks["dataset_name: problem"]["text"]


def test_an_existing_tensorboard(
    server: LocalVertex, call: Call, plan_words: list[str], place: Vertex
) -> None:
    from google.cloud import aiplatform_v1

    client = place.client(aiplatform_v1.TensorboardServiceClient)
    board = aiplatform_v1.Tensorboard(display_name="board")
    name = client.create_tensorboard(parent=place.parent, tensorboard=board).result().name
    checks = checks_of(call, [*plan_words, "--tensorboard-resource-id", name], 0)
    assert "tensorboard_resource_id: ok" in checks


@pytest.mark.parametrize("price", ["nan", "inf", "0", "-1"])
def test_a_price_that_is_none_is_refused(call: Call, price: str) -> None:
    result = call("plan", "--machine-price", price)
    assert result.exit_code != 0
    assert "Invalid value for '--machine-price'" in result.output
