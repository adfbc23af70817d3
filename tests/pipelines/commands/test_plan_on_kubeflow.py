"""``plan --platform kubeflow``: everything at once, nothing changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import yaml

from kfp_llm_tuning.components.common.images import image_name
from kfp_llm_tuning.components.models.implemented import image_kinds
from tests.kubeflow.local_kubeflow import LocalKubeflow
from tests.kubeflow.local_kubernetes import LocalKubernetes, local_kubernetes
from tests.kubeflow.local_registry import LocalRegistry, local_registry, pull_secret
from tests.pipelines.conftest import EXAMPLE, Call

OPTIONS: dict[str, Any] = {
    "mlflow_tracking_uri": "http://mlflow:5000",
    "claims": [{"claim": "models", "mount_path": "/mnt/models"}],
    "secret_environment": [
        {"secret": "hub", "keys": {"token": "HF_TOKEN"}},
        {"secret": "perhaps", "keys": {"a": "A"}, "optional": True},
    ],
    "secret_files": [{"secret": "gcs", "mount_path": "/var/secrets/gcs"}],
    "image_pull_secrets": ["pull"],
    "run_volume": {"size": "10Gi", "storage_class": "fast"},
    "scratch": {"size": "5Gi", "storage_class": "local"},
    "tasks": {"tuner": {"machine": "a100-80gb-8", "accelerator_count": 4,
                        "node_selector": {"pool": "a100"}}},
    "kserve": {"enabled": True},
}  # fmt: skip


@pytest.fixture
def dataset() -> Iterator[str]:
    """The example's data in a storage that this machine reaches by a URI."""
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe("/bucket/train.jsonl", (EXAMPLE / "train.jsonl").read_bytes())
    yield "memory://bucket/train.jsonl"
    filesystem.rm("/bucket", recursive=True)


@pytest.fixture
def cluster(
    tmp_path: Path, kubeflow_server: LocalKubeflow, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalKubernetes]:
    """A cluster that has everything that the options ask for."""
    with local_kubernetes(tmp_path) as running:
        monkeypatch.setenv("KUBECONFIG", str(running.kubeconfig))
        for name in ("hub", "gcs", "pull"):
            running.add("secret", name, data={"token": "eA=="})
        running.add("claim", "models", status={"phase": "Bound"})
        for name in ("fast", "local"):
            running.add("storage class", name, provisioner="x")
        running.add("account", "tuner")
        running.add_node("gpu-1", {"pool": "a100"}, gpu="8")
        running.kserve = True
        yield running


@pytest.fixture(scope="module")
def _registry() -> Iterator[LocalRegistry]:
    with local_registry() as running:
        yield running


@pytest.fixture
def registry(_registry: LocalRegistry) -> LocalRegistry:
    """A registry that has every image of ours, for everybody."""
    _registry.login = None
    _registry.images = {f"team/{image_name(kind, '')[1:]}" for kind in image_kinds()}
    return _registry


@pytest.fixture
def plan_words(
    on_kubeflow: list[str], dataset: str, tmp_path: Path, registry: LocalRegistry
) -> list[str]:
    options = tmp_path / "options.yaml"
    options.write_text(yaml.safe_dump(OPTIONS), encoding="utf-8")
    return [
        *("plan", *on_kubeflow, "--dataset-uri", dataset, "--model-display-name", "router"),
        *("--large-model-reference", "byte-tiny", "--image-registry", f"{registry.host}/team"),
        *("--options", str(options), "--service-account", "tuner"),
    ]


def checks_of(call: Call, words: list[str], code: int = 0) -> list[tuple[str, str]]:
    result = call(*words, "--json")
    assert result.exit_code == code, result.stdout
    checks = json.loads(result.stdout)["checks"]
    return [(f"{one['subject']}: {one['status']}", f"{one['text']} {one['fix']}") for one in checks]


def has(checks: list[tuple[str, str]], subject: str, text: str) -> bool:
    return any(one == subject and text in told for one, told in checks)


def test_a_run_that_is_ready(cluster: LocalKubernetes, call: Call, plan_words: list[str]) -> None:
    result = call(*plan_words, "--machine-price", "12.5")
    assert result.exit_code == 0, result.stdout
    for text in (
        "✓ parameters",
        "✓ template",
        "✓ API server",
        "✓ experiment       Default is there.",
        "✓ cluster",
        "✓ secrets          hub is there.",
        "✓ claims           models is bound.",
        "✓ storage classes  fast is there.",
        "✓ service account  tuner is there.",
        "✓ nodes            1 of 1 have 8 cpu, 64Gi memory, 4 nvidia.com/gpu, pool=a100.",
        "✓ KServe",
        "✓ images           ",
        "400 examples can be tuned on",
        "200 steps of 8 examples, 4.00 epochs",
        "✓ steps            200 steps: chosen for classification, the task found in the data",
        "1.82 million weights, all weights, on 4 devices",
        "$12.50 an hour, as given",
        "✓ Ready to submit.",
    ):
        assert text in result.stdout, result.stdout
    assert "perhaps" not in result.stdout


def test_nothing_is_changed(
    cluster: LocalKubernetes, kubeflow_server: LocalKubeflow, call: Call, plan_words: list[str]
) -> None:
    call(*plan_words, "--experiment", "new")
    assert set(cluster.methods) == {"GET"}
    methods = [request.method for request in kubeflow_server.requests]
    assert methods and all(
        method.partition(".")[2].startswith(("Get", "List")) for method in methods
    )


def test_without_a_price_no_cost_is_reckoned(
    cluster: LocalKubernetes, call: Call, plan_words: list[str]
) -> None:
    printed = call(*plan_words).stdout
    assert "no price is given (--machine-price)" in printed
    assert "$" not in printed


def test_everything_that_is_wrong_is_told_at_once(
    cluster: LocalKubernetes, call: Call, plan_words: list[str], tmp_path: Path
) -> None:
    changed = {
        **OPTIONS,
        "claims": [{"claim": "none", "mount_path": "/mnt/models"}],
        "secret_environment": [{"secret": "hub", "keys": {"absent": "A"}}],
        "secret_files": [{"secret": "no-secret", "mount_path": "/var/secrets/gcs"}],
        "run_volume": {"size": "10Gi", "storage_class": "no-class"},
        "tasks": {"tuner": {"machine": "h100-8"}},
    }
    (tmp_path / "options.yaml").write_text(yaml.safe_dump(changed), encoding="utf-8")
    cluster.kserve = False
    cluster.add_node("not-ready", ready=False, gpu="8")
    words = [
        *("--seed", "-1", "--service-account", "no-account", "--job-name", "x" * 300),
        *("--dataset-uri", "memory://bucket/none.jsonl"),
    ]
    checks = checks_of(call, [*plan_words, *words], 1)
    for subject, text in (
        ("parameters: problem", "seed"),
        ("job: problem", "--job-name"),
        ("secrets: problem", "the secret hub lacks absent"),
        ("secrets: problem", "there is no secret no-secret"),
        ("claims: problem", "there is no claim none"),
        ("storage classes: problem", "there is no storage class no-class"),
        ("service account: problem", "there is no service account no-account in kubeflow"),
        ("KServe: problem", "Install KServe"),
        ("dataset: problem", "no file at memory://bucket/none.jsonl"),
    ):
        assert has(checks, subject, text), (subject, text, checks)


def test_a_train_job_needs_the_trainer_its_runtime_and_its_queue(
    cluster: LocalKubernetes, call: Call, plan_words: list[str], tmp_path: Path
) -> None:
    own_pod = checks_of(call, plan_words, 0)
    assert has(own_pod, "tuner: ok", "its task's own pod")
    changed = {
        **OPTIONS,
        "checkpoint_root": "s3://checkpoints",
        "train_job": {"enabled": True, "queue": "gpus"},
    }
    (tmp_path / "options.yaml").write_text(yaml.safe_dump(changed), encoding="utf-8")
    words = [*plan_words, "--tuning-machine-count", "2"]
    missing = checks_of(call, words, 1)
    assert has(missing, "tuner: ok", "a TrainJob of 2 nodes, of the runtime torch-distributed")
    assert has(missing, "Kubeflow Trainer: problem", "the task's own pod tunes then")
    cluster.trainer = True
    without_runtime = checks_of(call, words, 1)
    assert has(without_runtime, "Kubeflow Trainer: problem", "no ClusterTrainingRuntime")
    assert has(without_runtime, "Kueue: problem", "there is no LocalQueue gpus")
    cluster.add("training runtime", "torch-distributed")
    cluster.add("local queue", "gpus")
    whole = checks_of(call, words, 0)
    assert has(whole, "Kubeflow Trainer: ok", "torch-distributed")
    assert has(whole, "Kueue: ok", "gpus")


def test_no_node_is_large_enough(
    cluster: LocalKubernetes, call: Call, plan_words: list[str]
) -> None:
    cluster.add_node("gpu-1", {"pool": "a100"}, gpu="2")
    checks = checks_of(call, plan_words)
    text = "none of 1 has 8 cpu, 64Gi memory, 4 nvidia.com/gpu, pool=a100, for large-language"
    assert has(checks, "nodes: warning", text), checks
    assert has(checks, "nodes: ok", "1 of 1 have 4 cpu")


@pytest.mark.parametrize("kind", ["secret", "claim", "storage class", "account", "node"])
def test_what_may_not_be_looked_at_is_not_known(
    cluster: LocalKubernetes, call: Call, plan_words: list[str], kind: str
) -> None:
    cluster.forbidden.add(kind)
    subject = {"secret": "secrets", "claim": "claims", "storage class": "storage classes",
               "account": "service account", "node": "nodes"}[kind]  # fmt: skip
    assert has(checks_of(call, plan_words), f"{subject}: unknown", "Forbidden (403)")


def test_no_kubeconfig_is_told_and_is_no_problem(
    kubeflow_server: LocalKubeflow, call: Call, plan_words: list[str]
) -> None:
    checks = checks_of(call, plan_words)
    assert has(checks, "cluster: unknown", "were not looked at: there is no kubeconfig")
    assert has(checks, "cluster: unknown", "--kube-context")


def test_a_cluster_that_does_not_answer(
    cluster: LocalKubernetes, call: Call, plan_words: list[str]
) -> None:
    config = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))
    config["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:1"
    cluster.kubeconfig.write_text(yaml.safe_dump(config), encoding="utf-8")
    assert has(checks_of(call, plan_words), "cluster: unknown", "could not reach the cluster")


def test_an_api_server_that_does_not_answer(
    cluster: LocalKubernetes, call: Call, plan_words: list[str]
) -> None:
    checks = checks_of(call, [*plan_words, "--host", "http://127.0.0.1:1"], 1)
    assert has(checks, "API server: problem", "could not reach Kubeflow Pipelines")
    assert has(checks, "secrets: ok", "hub")
    assert has(checks, "dataset: ok", "400 examples")


def test_an_archived_experiment(
    cluster: LocalKubernetes, kubeflow_server: LocalKubeflow, call: Call, plan_words: list[str]
) -> None:
    call("submit", *plan_words[1:], "--experiment", "old")
    for experiment in kubeflow_server.backend.experiments.values():
        experiment["storage_state"] = "ARCHIVED"
    checks = checks_of(call, [*plan_words, "--experiment", "old"])
    assert has(checks, "experiment: warning", "old is archived")


def test_a_namespace_of_one_s_own(
    cluster: LocalKubernetes, kubeflow_server: LocalKubeflow, call: Call, plan_words: list[str]
) -> None:
    backend = kubeflow_server.backend
    backend.multi_user, backend.namespaces = True, {"team-a"}
    for name in ("hub", "gcs", "pull"):
        cluster.add("secret", name, "team-a", data={"token": "eA=="})
    cluster.add("claim", "models", "team-a", status={"phase": "Pending"})
    cluster.add("account", "tuner", "team-a")
    checks = checks_of(call, [*plan_words, "--namespace", "team-a"])
    assert has(checks, "API server: ok", "for the namespace team-a")
    assert has(checks, "claims: ok", "models is pending")


def test_data_that_only_the_cluster_reads(
    cluster: LocalKubernetes, call: Call, plan_words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no credentials")

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", cluster.url)  # It answers, and lets nobody read.
    monkeypatch.setattr("kfp_llm_tuning.components.common.storage.locate", refuse)
    for uri, text in (
        ("/mnt/models/train.jsonl", "is on a volume of the cluster"),
        ("gs://bucket/train.jsonl", "no credentials), from here: the cluster may all the same"),
    ):
        checks = checks_of(call, [*plan_words, "--dataset-uri", uri])
        assert has(checks, "dataset: unknown", text), checks


def test_wrong_options_do_not_hide_the_others(
    cluster: LocalKubernetes, call: Call, plan_words: list[str], tmp_path: Path
) -> None:
    (tmp_path / "options.yaml").write_text("mlflow_tracking_url: http://x\n", encoding="utf-8")
    checks = checks_of(call, [*plan_words, "--seed", "-1"], 1)
    assert has(checks, "template: problem", "Did you mean mlflow_tracking_uri?")
    assert has(checks, "parameters: problem", "seed")


def test_a_compiled_template(
    cluster: LocalKubernetes, call: Call, run_words: list[str], dataset: str
) -> None:
    words = ["plan", *run_words, "--dataset-uri", dataset]
    printed = call(*words).stdout
    assert "✓ nodes" in printed
    assert "No machine is named, so that no time is reckoned." in printed
    assert "✓ Ready to submit." in printed


def test_images_are_looked_for_by_their_tag(
    cluster: LocalKubernetes, call: Call, plan_words: list[str], registry: LocalRegistry
) -> None:
    gpu = image_name("gpu", f"{registry.host}/team")
    registry.images.remove(gpu.removeprefix(f"{registry.host}/"))
    checks = checks_of(call, plan_words, 1)
    fix = f"make images IMAGE_REGISTRY={registry.host}/team PUSH=1"
    assert ("images: problem", f"there is no {gpu}. Push it: {fix}") in checks
    assert has(checks, "images: ok", image_name("python", f"{registry.host}/team"))


def test_images_are_looked_for_with_the_logins_of_pull_secrets(
    cluster: LocalKubernetes, call: Call, plan_words: list[str], registry: LocalRegistry
) -> None:
    registry.login = ("puller", "secret:word")
    checks = checks_of(call, plan_words)
    assert has(checks, "images: unknown", f"{registry.host} wants credentials")
    cluster.add("secret", "pull", data=pull_secret(registry.host, *registry.login))
    checks = checks_of(call, plan_words)
    assert [subject for subject, _ in checks if subject.startswith("images")] == ["images: ok"]


def test_a_registry_that_does_not_answer_is_asked_once(call: Call, plan_words: list[str]) -> None:
    words = [*plan_words, "--image-registry", "127.0.0.1:9/team"]
    told = [text for subject, text in checks_of(call, words) if subject == "images: unknown"]
    assert len(told) == 1
    assert told[0].startswith("127.0.0.1:9 does not answer from here (ConnectionError).")
    assert image_name("gpu", "127.0.0.1:9/team") in told[0]
