"""The MLflow run of a run on this machine, from its first moment to its end."""

import contextlib
import io
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl
from kfp.dsl.base_component import BaseComponent
from mlflow import MlflowClient
from rich.console import Console

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.images import IMAGE
from kfp_llm_tuning.components.common.registry_location import REGISTRY_VARIABLE
from kfp_llm_tuning.components.tracking import sqlite_registry
from kfp_llm_tuning.components.tracking.connection import connect, experiment_id
from kfp_llm_tuning.components.tracking.tracked_run import PRIMARY_TAG, PROBLEM_TAG, SIDE_TAG
from kfp_llm_tuning.pipelines.graphs.platform import Platform
from kfp_llm_tuning.pipelines.local_runs import run_directory
from kfp_llm_tuning.pipelines.local_runs.local_run import run_in


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def refuse_unless(good: bool, registry_uri: str) -> None:
    from kfp_llm_tuning.components.common.errors import Problem, UserError, exit_on_error

    with exit_on_error():
        if not good:
            raise UserError(*(Problem("is wrong.", f"line {line}") for line in range(1, 8)))


def build(_: str, platform: Platform) -> BaseComponent:
    @dsl.pipeline(name="refusing")
    def refusing(model_display_name: str, good: bool, train_steps: int = 300) -> None:
        refuse_unless(good=good, registry_uri=platform.registry_uri)

    return refusing


def run(directory: Path) -> str:
    written = io.StringIO()
    run_in(directory, build, "resume", Console(file=written, width=200))
    return written.getvalue()


def the_run(output: Path) -> Any:
    client = connect(f"sqlite:///{output}/mlflow.db", create=False)
    (found,) = client.search_runs([experiment_id(client)])
    return found


def test_a_refused_run_is_visible_and_a_resumed_one_is_the_same(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(REGISTRY_VARIABLE, raising=False)
    monkeypatch.setattr(
        sqlite_registry, "_make", lambda aside, database: shutil.copy(empty_database, aside)
    )
    parameters = {"good": False, "model_display_name": "intents"}
    directory = run_directory.create(tmp_path, "refusing", parameters)
    run(directory)
    refused = the_run(tmp_path)
    assert refused.info.run_name == "intents"
    assert refused.info.status == "FAILED"
    assert refused.data.params["train_steps"] == "300"
    assert refused.data.tags[PROBLEM_TAG].splitlines() == [
        "refuse-unless failed",
        *(f"line {line}: is wrong." for line in range(1, 6)),
        "and 2 more",
    ]
    # Its command was killed, and left it as it is at work.
    client = connect(f"sqlite:///{tmp_path}/mlflow.db", create=False)
    client.update_run(refused.info.run_id, status="RUNNING")
    run(run_directory.create(tmp_path, "refusing", {**parameters, "good": True}))
    assert client.get_run(refused.info.run_id).info.status == "KILLED"
    run(directory)
    first, second = sorted(
        client.search_runs([experiment_id(client)]), key=lambda one: one.info.start_time
    )
    assert first.info.run_id == refused.info.run_id
    assert (first.info.status, second.info.status) == ("FAILED", "FINISHED")


def test_a_registry_that_is_down_is_told_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(REGISTRY_VARIABLE, "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    directory = run_directory.create(
        tmp_path, "refusing", {"good": True, "model_display_name": "intents"}
    )
    told = run(directory)
    assert "MLflow does not follow this run as it goes on" in told
    assert "cannot open the registry" in told


EXAMPLE = Path(__file__).parents[3] / "examples" / "support"


def start(folder: Path, rows: list[str]) -> subprocess.Popen[str]:
    """Starts the command on some rows, which are evaluated too."""
    (folder / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    words = [
        *("--dataset-uri", str(folder / "rows.jsonl")),
        *("--evaluation-data-uri", str(folder / "rows.jsonl")),
        *("--large-model-reference", "byte-tiny", "--model-display-name", "intents"),
        *("--train-steps", "60", "--evaluation-interval", "10", "--logging-interval", "5"),
        *("--output-dir", str(folder / "runs")),
    ]
    command = [sys.executable, "-m", "kfp_llm_tuning.pipelines.cli", "run", *words]
    with (folder / "printed.txt").open("w", encoding="utf-8") as printed:
        return subprocess.Popen(command, stdout=printed, stderr=printed, text=True)


def looks_at(output: Path, process: subprocess.Popen[str]) -> list[tuple[str, int, int]]:
    """Looks at MLflow until the command has ended: status, parameters, points of the loss."""
    seen: list[tuple[str, int, int]] = []
    while process.poll() is None:
        time.sleep(0.3)
        with contextlib.suppress(UserError, ValueError):
            client = connect(f"sqlite:///{output}/mlflow.db", create=False)
            run = top_run(client)
            points = client.get_metric_history(run.info.run_id, "train_total_loss")
            seen.append((run.info.status, len(run.data.params), len(points)))
    return seen


def top_run(client: MlflowClient) -> Any:
    found = client.search_runs([experiment_id(client)])
    (top,) = (run for run in found if SIDE_TAG not in run.data.tags)
    return top


@pytest.mark.slow
def test_a_run_is_followed_from_its_first_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(REGISTRY_VARIABLE, raising=False)
    rows = (EXAMPLE / "train.jsonl").read_text(encoding="utf-8").splitlines()[:32]
    process = start(tmp_path, rows)
    seen = looks_at(tmp_path / "runs", process)
    assert process.returncode == 0, (tmp_path / "printed.txt").read_text(encoding="utf-8")
    # Parameters stand there before the first step, and the curve has grown before its end.
    assert any(parameters and not points for status, parameters, points in seen)
    grown = {points for status, _, points in seen if status == "RUNNING"}
    assert len(grown & set(range(1, 12))) > 2, seen
    client = connect(f"sqlite:///{tmp_path}/runs/mlflow.db")
    run = top_run(client)
    assert (run.info.status, run.data.params["train_steps"]) == ("FINISHED", "60")
    assert len(client.get_metric_history(run.info.run_id, "train_total_loss")) == 12
    primary = run.data.tags[PRIMARY_TAG]
    sides = [
        client.get_run(one.info.run_id)
        for one in client.search_runs([experiment_id(client)], f"tags.`{SIDE_TAG}` != ''")
    ]
    assert sorted(one.info.run_name for one in sides) == ["intents base", "intents tuned"]
    for one in sides:
        side = one.data.tags[SIDE_TAG]
        assert one.data.metrics[primary] == run.data.metrics[f"{side}/{primary}"]


@pytest.mark.slow
def test_a_refused_dataset_is_a_failed_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REGISTRY_VARIABLE, raising=False)
    rows = (EXAMPLE / "train.jsonl").read_text(encoding="utf-8").splitlines()[:32]
    process = start(tmp_path, [*rows, '{"input_text": "no answer"}'])
    assert process.wait() == 1
    run = top_run(connect(f"sqlite:///{tmp_path}/runs/mlflow.db", create=False))
    assert run.info.status == "FAILED"
    task, problem, *_ = run.data.tags[PROBLEM_TAG].splitlines()
    assert task == "validate-dataset failed"
    assert "line 33" in problem
