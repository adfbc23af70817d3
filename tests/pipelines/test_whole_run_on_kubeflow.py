"""A run on Kubeflow that is really executed, and a weekly schedule of them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from kfp_llm_tuning.components.tracking.connection import connect
from kfp_llm_tuning.components.tracking.tracked_run import RUN_TAG, find_run
from kfp_llm_tuning.pipelines.graphs.compile import template_text
from kfp_llm_tuning.pipelines.kubeflow.options_file import options_from
from kfp_llm_tuning.pipelines.kubeflow.platform import kubeflow_platform
from tests.components.upload.kserve_cluster import Fault
from tests.kubeflow.local_kubeflow import LocalKubeflow, local_kubeflow
from tests.kubeflow.local_trainer import local_trainer
from tests.pipelines.conftest import EXAMPLE, REGISTRY, Call

POLL = ["--wait", "--poll-seconds", "0.5"]


@pytest.fixture
def kubeflow_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalKubeflow]:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))
    monkeypatch.setattr("kfp.Client._LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    with local_kubeflow(tmp_path / "kubeflow", execute=True) as server:
        yield server


@pytest.fixture
def words(run_words: list[str], tmp_path: Path) -> list[str]:
    """Options of a run on few rows, whose registry is a file that pods and this machine see."""
    lines = (EXAMPLE / "train.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "train.jsonl").write_text("".join(lines[:24]), encoding="utf-8")
    return [
        *(*run_words, "--dataset-uri", str(tmp_path / "train.jsonl"), "--train-steps", "2"),
        *("--registry-uri", f"sqlite:///{tmp_path}/mlflow.db"),
    ]


def models(call: Call, tmp_path: Path) -> list[str]:
    listed = call("models", "list", "--registry-uri", f"sqlite:///{tmp_path}/mlflow.db", "--json")
    return [f"{one['name']}@{one['version']}" for one in json.loads(listed.stdout)]


def with_evaluation(folder: Path) -> list[str]:
    evaluation = folder / "evaluation.jsonl"
    evaluation.write_text((folder / "train.jsonl").read_text(encoding="utf-8"), encoding="utf-8")
    return ["--evaluation-data-uri", str(evaluation)]


def test_a_run_registers_a_model(
    kubeflow_server: LocalKubeflow, call: Call, words: list[str], tmp_path: Path
) -> None:
    own = ("--batch-size", "4", "--warmup-ratio", "0.25")
    result = call("submit", *words, *own, *POLL, "--label", "team=a")
    assert result.exit_code == 0, result.stdout
    (provenance,) = tmp_path.glob("kubeflow/**/saved_model/tuning.json")
    used = json.loads(provenance.read_text(encoding="utf-8"))["parameters"]
    assert (used["batch_size"], used["warmup_ratio"]) == (4, 0.25)
    for task in ("validate-pipeline", "large-language-model-tuner", "upload-llm-model"):
        assert f"✓ {task}" in result.stdout
    assert "model     models/router@1" in result.stdout
    assert models(call, tmp_path) == ["router@1"]
    # The run that validate-pipeline opened, the tuner's and the upload's are one.
    client = connect(f"sqlite:///{tmp_path}/mlflow.db")
    run = find_run(client, kubeflow_server.runs[-1]["run_id"])
    assert run is not None
    assert run.run.info.status == "FINISHED"
    assert run.run.data.params["tuner_arguments/batch_size"] == "4"
    assert len(client.get_metric_history(run.id, "train_total_loss")) == 1
    assert len(client.search_runs([run.run.info.experiment_id], f"tags.`{RUN_TAG}` != ''")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("fault", [Fault("", 503), Fault("", 503, done=True), Fault("", 403)])
def test_a_train_job_of_two_nodes_whatever_goes_wrong_with_its_api(
    kubeflow_server: LocalKubeflow,
    call: Call,
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    fault: Fault,
) -> None:
    connect(f"sqlite:///{tmp_path}/mlflow.db")
    claim = {"claim": "shared", "mount_path": str(tmp_path)}
    options = options_from(
        {
            "claims": [claim],
            "checkpoint_root": f"{tmp_path}/checkpoints",
            "train_job": {"enabled": True},
        }
    )
    platform = kubeflow_platform(options.without_accelerators())
    template = tmp_path / "template.yaml"
    text = template_text("tune-large-model", platform, REGISTRY)
    template.write_text(text, encoding="utf-8")
    words[words.index("--template-file") + 1] = str(template)
    with local_trainer(tmp_path / "trainer") as trainer:
        monkeypatch.setenv("KUBECONFIG", str(trainer.kubeconfig))
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        trainer.faults = [dataclasses.replace(fault, method=method)]
        result = call("submit", *words, "--tuning-machine-count", "2", *POLL)
        assert trainer.faults == []
        # What is refused once fails a try of the task; the next one finds what there is.
        assert result.exit_code == 0, result.stdout
        (job,) = trainer.made
        assert job["spec"]["trainer"]["numNodes"] == 2
        assert trainer.jobs == {}
    assert models(call, tmp_path) == ["router@1"]
    (provenance,) = tmp_path.glob("kubeflow/**/saved_model/tuning.json")
    assert json.loads(provenance.read_text(encoding="utf-8"))["steps"] == 2


@pytest.mark.slow
def test_the_gate_s_refusal_is_told(
    kubeflow_server: LocalKubeflow, call: Call, words: list[str], tmp_path: Path
) -> None:
    connect(f"sqlite:///{tmp_path}/mlflow.db")
    gate = [*with_evaluation(tmp_path), "--gate-metric", "exact_match"]
    result = call("submit", *words, *POLL, *gate, "--gate-threshold", "1.1")
    assert result.exit_code == 3, result.stdout
    assert "Not registered: the gate refused the model" in result.stdout
    assert "  metric    " in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("gate", [(), ("--gate-metric", "exact_match", "--gate-threshold", "0")])
def test_predictions_that_die_keep_the_model_out_only_where_a_gate_asks_for_them(
    kubeflow_server: LocalKubeflow,
    killed_predictions: None,
    call: Call,
    words: list[str],
    tmp_path: Path,
    gate: tuple[str, ...],
) -> None:
    connect(f"sqlite:///{tmp_path}/mlflow.db")
    result = call("submit", *words, *POLL, *with_evaluation(tmp_path), *gate)
    if gate:
        assert result.exit_code != 0
        assert "✗ batch-predict" in result.stdout
        assert models(call, tmp_path) == []
    else:
        assert result.exit_code == 0, result.stdout
        assert models(call, tmp_path) == ["router@1"]


@pytest.mark.slow
def test_three_weeks_make_three_versions_of_one_model(
    kubeflow_server: LocalKubeflow,
    call: Call,
    words: list[str],
    on_kubeflow: list[str],
    tmp_path: Path,
) -> None:
    call("schedule", "create", *words, "--cron", "0 9 * * 1", "--name", "weekly")
    for week in range(1, 4):
        kubeflow_server.clock.advance(timedelta(days=7))
        run = kubeflow_server.runs[-1]["run_id"]
        result = call("jobs", "show", run, *on_kubeflow, *POLL)
        assert result.exit_code == 0, result.stdout
        assert f"models/router@{week}" in result.stdout
    assert models(call, tmp_path) == ["router@3", "router@2", "router@1"]
    shown = call("schedule", "show", "weekly", *on_kubeflow).stdout
    assert "runs      3 of any number" in shown
    assert all(f"models/router@{week}" in shown for week in range(1, 4))
    call("schedule", "pause", "weekly", *on_kubeflow)
    kubeflow_server.clock.advance(timedelta(days=30))
    assert len(kubeflow_server.runs) == 3
