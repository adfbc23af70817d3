"""Registering and deploying, against a real MLflow on SQLite."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.manifest import write_manifest
from kfp_llm_tuning.components.tracking.connection import EXPERIMENT, connect, experiment_id
from kfp_llm_tuning.components.tracking.tracked_run import SIDE_TAG
from kfp_llm_tuning.components.upload import mlflow_model, mlflow_registry
from kfp_llm_tuning.components.upload.mlflow_registry import Upload, deploy, register

STEPS = ("log_figures", "store_reports", "_store_model", "_create_version")


def runs_of(client: MlflowClient) -> list[Any]:
    """Lists the runs that stand below no other."""
    runs = client.search_runs([experiment_id(client)])
    return [run for run in runs if SIDE_TAG not in run.data.tags]


def versions_of(client: MlflowClient) -> list[Any]:
    return list(client.search_model_versions())


def assert_whole(upload: Upload) -> None:
    """One run and one version, and nothing of them missing."""
    client = connect(upload.registry_uri)
    (run,), (version,) = runs_of(client), versions_of(client)
    assert run.info.status == "FINISHED"
    assert version.run_id == run.info.run_id
    stored = Path(version.source.removeprefix("file://"))
    for file in upload.saved_model.rglob("*"):
        if file.is_file():
            copy = stored / file.relative_to(upload.saved_model)
            assert copy.read_bytes() == file.read_bytes()
    assert (stored / "MLmodel").is_file()
    assert len(client.get_metric_history(run.info.run_id, "eval_total_loss")) == 3


def test_run_has_parameters_metrics_curves_and_reports(upload: Upload) -> None:
    assert register(upload) == "models/intents@1"
    client = connect(upload.registry_uri)
    (run,) = runs_of(client)
    assert run.data.params["parameters/train_steps"] == "3"
    assert run.data.params["dataset/examples"] == "12"
    assert run.data.metrics["tuned/exact_match"] == 0.75
    assert run.data.metrics["base/exact_match"] == 0.0
    assert run.data.metrics["tuning/loss"] == 1.5
    curve = client.get_metric_history(run.info.run_id, "train_total_loss")
    assert [(point.step, point.value) for point in curve] == [(1, 4.0), (2, 2.0), (3, 4.0 / 3)]
    reports = {file.path for file in client.list_artifacts(run.info.run_id, "reports")}
    assert reports == {
        "reports/evaluation.html",
        "reports/evaluation.json",
        "reports/model_card.md",
        "reports/validation.html",
    }
    assert_whole(upload)


def test_version_has_labels_and_description(upload: Upload) -> None:
    register(upload)
    (version,) = versions_of(connect(upload.registry_uri))
    assert version.tags == {
        "google-vertex-llm-tuning-base-model-id": "text-bison-002",
        "pipeline-run-id": "run-1",
        "model-display-name": "intents",
        "model-reference": "text-bison@002",
        "tuned-checkpoint": "builtin://byte-tiny",
        "tuned-checkpoint-revision": upload.reference.revision,
        "substitutes-for": "text-bison@002",
        "dataset-sha256": "ab12",
        "team": "support",
    }
    assert upload.reference.substitution_notice in version.description
    assert "12 examples of train.jsonl (SHA-256 ab12)" in version.description
    assert "exact_match: 0 before, 0.75 after" in version.description


def test_own_labels_win_over_the_users(upload: Upload) -> None:
    label = "google-vertex-llm-tuning-base-model-id"
    register(dataclasses.replace(upload, labels={label: "mine"}))
    (version,) = versions_of(connect(upload.registry_uri))
    assert version.tags[label] == "text-bison-002"


def test_the_same_run_again_makes_nothing_new(upload: Upload) -> None:
    assert register(upload) == register(upload) == "models/intents@1"
    assert_whole(upload)


def test_another_run_makes_the_next_version(upload: Upload) -> None:
    register(upload)
    assert register(dataclasses.replace(upload, run_id="run-2")) == "models/intents@2"


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_upload_that_broke_off_is_completed(
    upload: Upload, monkeypatch: pytest.MonkeyPatch, step: str, moment: str
) -> None:
    real = getattr(mlflow_registry, step)

    def broken(*arguments: Any) -> None:
        if moment == "after":
            real(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mlflow_registry, step, broken)
        with pytest.raises(KeyboardInterrupt):
            register(upload)
    client = connect(upload.registry_uri)
    assert len(versions_of(client)) == (1 if (step, moment) == (STEPS[-1], "after") else 0)
    assert register(upload) == "models/intents@1"
    assert_whole(upload)


def test_a_model_half_copied_is_copied_again(
    upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tear(saved_model: Path, target: Path) -> None:
        (run,) = runs_of(client)
        stored = Path(run.info.artifact_uri.removeprefix("file://")) / "model"
        (stored / "model.safetensors").write_bytes(b"weig")
        raise KeyboardInterrupt

    client = connect(upload.registry_uri)
    with monkeypatch.context() as patch:
        patch.setattr(mlflow_model, "write_companions", tear)
        with pytest.raises(KeyboardInterrupt):
            register(upload)
    assert register(upload) == "models/intents@1"
    assert_whole(upload)


def test_model_tuned_again_takes_nothing_of_the_upload_that_broke_off(
    upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mlflow_registry, "_create_version", broken)
        with pytest.raises(KeyboardInterrupt):
            register(upload)
    client = connect(upload.registry_uri)
    (stale,) = runs_of(client)
    (upload.saved_model / "model.safetensors").write_bytes(b"other weights")
    tuning = upload.saved_model / "tuning.json"
    tuning.write_text(json.dumps({**json.loads(tuning.read_text()), "steps": 4}))
    assert register(upload) == "models/intents@1"
    assert_whole(upload)
    assert not Path(stale.info.artifact_uri.removeprefix("file://")).exists()


def killed_register(upload: Upload) -> None:
    """Runs in a process of its own, which dies as by kill -9 while it holds the lock."""

    def die(*_: object) -> None:
        os._exit(9)

    mlflow_registry._create_version = die
    register(upload)


def test_a_killed_process_leaves_no_lock_and_no_version(upload: Upload) -> None:
    process = multiprocessing.get_context("fork").Process(target=killed_register, args=(upload,))
    process.start()
    process.join(60)
    assert process.exitcode == 9
    assert versions_of(connect(upload.registry_uri)) == []
    assert register(upload) == "models/intents@1"
    assert_whole(upload)


def test_a_lost_answer_makes_no_second_version(
    upload: Upload, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    create = MlflowClient.create_model_version

    def sent_twice(*arguments: Any, **keywords: Any) -> Any:
        create(*arguments, **keywords)
        return create(*arguments, **keywords)

    monkeypatch.setattr(MlflowClient, "create_model_version", sent_twice)
    assert register(upload) == register(upload) == "models/intents@1"
    assert_whole(upload)
    assert "Deleting version 2 of intents" in caplog.text


def test_a_registry_put_in_the_place_of_another_gets_the_model_again(
    upload: Upload, empty_database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    register(upload)
    register(upload)
    assert "has registered its model before" in caplog.text
    caplog.clear()
    other = dataclasses.replace(upload, registry_uri=replaced(upload, empty_database))
    assert register(other) == "models/intents@1"
    assert "before" not in caplog.text
    assert_whole(other)


def replaced(upload: Upload, empty_database: Path) -> str:
    """An empty registry at another path: MLflow keeps open what it opened in this process."""
    path = upload.saved_model.parent / "another" / "mlflow.db"
    path.parent.mkdir()
    shutil.copy(empty_database, path)
    return f"sqlite:///{path}"


def test_damaged_weights_are_not_registered(upload: Upload) -> None:
    write_manifest(upload.saved_model)
    (upload.saved_model / "model.safetensors").write_bytes(b"weig")
    with pytest.raises(UserError, match="model.safetensors has 4 bytes, not 7,000"):
        register(upload)
    assert versions_of(connect(upload.registry_uri)) == []


def test_weights_damaged_in_the_store_are_not_deployed_and_are_copied_again(
    upload: Upload,
) -> None:
    write_manifest(upload.saved_model)
    name = register(upload)
    (version,) = versions_of(connect(upload.registry_uri))
    (Path(version.source.removeprefix("file://")) / "model.safetensors").write_bytes(b"weig")
    with pytest.raises(UserError, match="not in the store, or not whole"):
        deploy(name, upload.registry_uri)
    assert register(upload) == name
    assert deploy(name, upload.registry_uri) == "models:/intents@deployed"
    assert_whole(upload)


def test_two_uploads_of_one_run_at_a_time(upload: Upload) -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        names = list(pool.map(register, [upload, upload]))
    assert names == ["models/intents@1"] * 2
    assert_whole(upload)


def test_name_that_a_registry_refuses(upload: Upload, caplog: pytest.LogCaptureFixture) -> None:
    name = register(dataclasses.replace(upload, display_name="a/b: 'c' 100%"))
    assert name == "models/a-b- -c- 100-@1"
    (version,) = versions_of(connect(upload.registry_uri))
    assert version.tags["model-display-name"] == "a/b: 'c' 100%"
    assert "registered as" in caplog.text
    assert deploy(name, upload.registry_uri) == "models:/a-b- -c- 100-@deployed"


@pytest.mark.parametrize("run_id", ["", "it's", 'a"b'])
def test_run_id_that_names_no_run(upload: Upload, run_id: str) -> None:
    with pytest.raises(UserError, match="run_id"):
        register(dataclasses.replace(upload, run_id=run_id))


def test_folder_without_model(upload: Upload) -> None:
    (upload.saved_model / "config.json").unlink()
    with pytest.raises(UserError, match=r"config\.json is missing"):
        register(upload)
    assert connect(upload.registry_uri).get_experiment_by_name(EXPERIMENT) is None


def test_model_of_another_tool_without_evaluation(upload: Upload) -> None:
    (upload.saved_model / "tuning.json").unlink()
    (upload.evaluation / "evaluation.json").write_text(
        json.dumps({"examples": 0, "metrics": {}, "base": None})
    )
    assert register(upload) == "models/intents@1"
    (run,) = runs_of(connect(upload.registry_uri))
    assert set(run.data.metrics) == {"train_total_loss", "eval_total_loss"}


def test_a_model_that_its_evaluation_warns_of_is_labelled(upload: Upload) -> None:
    content = json.loads((upload.evaluation / "evaluation.json").read_text())
    content["alarms"] = [
        {"kind": "not_above_majority", "message": "The worst."},
        {"kind": "empty_answers", "message": "The other."},
    ]
    (upload.evaluation / "evaluation.json").write_text(json.dumps(content))
    register(upload)
    (version,) = versions_of(connect(upload.registry_uri))
    assert version.tags["quality-warning"] == "not_above_majority"


def test_files_stay_beside_the_database(
    upload: Upload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    register(upload)
    assert list(elsewhere.iterdir()) == []
    assert {file.name for file in (tmp_path / "registry").iterdir()} == {
        "mlflow.db",
        "mlflow.db.lock",
        "mlartifacts",
    }


def test_many_points_and_many_parameters(upload: Upload) -> None:
    lines = [json.dumps({"step": step, "/train_total_loss": 1.0}) for step in range(2500)]
    lines.append(json.dumps({"step": 2500, "/train_total_loss": float("nan")}))
    (upload.tensorboard_metrics / "history.jsonl").write_text("\n".join(lines))
    parameters = {f"p{number}": number for number in range(250)}
    (upload.saved_model / "tuning.json").write_text(json.dumps({"parameters": parameters}))
    register(upload)
    client = connect(upload.registry_uri)
    (run,) = runs_of(client)
    assert len(client.get_metric_history(run.info.run_id, "train_total_loss")) == 2501
    assert len(run.data.params) == 250


def test_deployed_twice_is_deployed_once(upload: Upload) -> None:
    name = register(upload)
    assert deploy(name, upload.registry_uri) == "models:/intents@deployed"
    assert deploy(name, upload.registry_uri) == "models:/intents@deployed"
    model = connect(upload.registry_uri).get_registered_model("intents")
    assert model.aliases == {"deployed": 1}


def test_the_version_deployed_last_answers(upload: Upload) -> None:
    deploy(register(upload), upload.registry_uri)
    deploy(register(dataclasses.replace(upload, run_id="run-2")), upload.registry_uri)
    client = connect(upload.registry_uri)
    assert client.get_model_version_by_alias("intents", "deployed").version == 2


def test_what_is_not_registered_is_not_deployed(upload: Upload) -> None:
    register(upload)
    with pytest.raises(UserError, match="no registered model models/intents@7"):
        deploy("models/intents@7", upload.registry_uri)


def test_version_whose_weights_are_gone_is_not_deployed(upload: Upload) -> None:
    name = register(upload)
    (version,) = versions_of(connect(upload.registry_uri))
    (Path(version.source.removeprefix("file://")) / "MLmodel").unlink()
    with pytest.raises(UserError, match="not in the store, or not whole"):
        deploy(name, upload.registry_uri)
