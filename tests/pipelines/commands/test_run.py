"""The whole pipeline on this machine, run as a person runs it."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.pipelines import tune
from kfp_llm_tuning.pipelines.commands.run import _confirm_download
from tests.loopback_server import free_port

EXAMPLE = Path(__file__).parents[3] / "examples" / "support"
COMMAND = [sys.executable, "-m", "kfp_llm_tuning.pipelines.cli"]
TASKS = [
    "validate-pipeline",
    "export-managed-dataset",
    "validate-dataset",
    "preprocess-dataset",
    "preprocess-dataset-2",
    "dataset-encoder",
    "evaluation-dataset-encoder",
    "compose-params-for-model-tuner",
    "large-language-model-tuner",
    "batch-predict",
    "batch-predict-2",
    "evaluate-model",
    "upload-llm-model",
    "create-endpoint-and-deploy-model",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few rows of the shipped example, and conversations made of them."""
    folder = tmp_path_factory.mktemp("data")
    for name, rows in (("train", 32), ("evaluation", 12)):
        lines = (EXAMPLE / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[:rows]
        (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
        conversations = [
            json.dumps(
                {
                    "messages": [
                        {"author": "user", "content": row["input_text"]},
                        {"author": "assistant", "content": row["output_text"]},
                    ]
                }
            )
            for row in map(json.loads, lines)
        ]
        (folder / f"chat_{name}.jsonl").write_text("\n".join(conversations), encoding="utf-8")
    return folder


def arguments(data: Path, output: Path, **changes: str) -> list[str]:
    options = {
        "--large-model-reference": "byte-tiny",
        "--dataset-uri": str(data / "train.jsonl"),
        "--evaluation-data-uri": str(data / "evaluation.jsonl"),
        "--model-display-name": "router",
        "--train-steps": "12",
        "--evaluation-interval": "4",
        "--output-dir": str(output),
    }
    options |= {"--" + name.replace("_", "-"): value for name, value in changes.items()}
    return ["run", *(part for pair in options.items() for part in pair)]


def call(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, cwd=cwd, check=False)


def record_of(output: Path) -> dict[str, Any]:
    (path,) = output.glob("*/run.json")
    return json.loads(path.read_text(encoding="utf-8"))


def weights_of(output: Path) -> str:
    (path,) = output.glob("mlartifacts/**/model.safetensors")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    output = tmp_path_factory.mktemp("finished")
    done = call(*arguments(data, output), cwd=output)
    assert done.returncode == 0, done.stdout + done.stderr
    return output, done.stdout


def test_a_run_goes_through_every_task(finished: tuple[Path, str]) -> None:
    output, printed = finished
    record = record_of(output)
    assert record["state"] == "succeeded"
    assert sorted(task["name"] for task in record["tasks"]) == sorted(TASKS)
    assert {task["state"] for task in record["tasks"]} == {"succeeded"}
    for name in TASKS:
        assert f"✓ {name}" in printed


def test_a_run_ends_with_what_a_person_wants_next(finished: tuple[Path, str]) -> None:
    output, printed = finished
    summary = printed[printed.index("✓ create-endpoint") :]
    assert "exact_match" in summary
    assert "models/router@1" in summary
    assert "kfp-llm-tuning predict router" in summary
    assert "tensorboard --logdir" in summary
    assert "MLflow shows runs and curves under Model training, kfp-llm-tuning." in summary
    for report in ("validation", "evaluation"):
        (path,) = output.glob(f"*/reports/{report}.html")
        assert "<html" in path.read_text(encoding="utf-8")
        assert path.name in summary


def test_python_is_given_a_finished_run_whose_model_answers(
    finished: tuple[Path, str], data: Path
) -> None:
    output, printed = finished
    run = tune(resume=next(output.glob("*/run.json")).parent, output_dir=output)
    assert (run.model_name, run.model_version) == ("router", 1)
    assert f"{run.metrics.tuned['loss']:.4g}" in printed
    assert "<html" in run.reports.validation.path.read_text(encoding="utf-8")
    question = json.loads((data / "evaluation.jsonl").read_text("utf-8").splitlines()[0])
    answers = run.predict([question["input_text"], question], max_output_tokens=3)
    assert answers[0] == answers[1] == run.predict(question["input_text"], max_output_tokens=3)


def test_nothing_is_written_outside_the_output_folder(finished: tuple[Path, str]) -> None:
    output, _ = finished
    made = {path.name for path in output.iterdir()}
    assert "mlruns" not in made
    assert {"mlflow.db", "mlartifacts"} <= made


def test_the_registered_model_is_listed_and_answers(finished: tuple[Path, str]) -> None:
    output, _ = finished
    registry = ["--registry-uri", f"sqlite:///{output}/mlflow.db"]
    listed = json.loads(call("models", "list", "--json", *registry).stdout)
    assert listed[0]["name"] == "router"
    question = ["router", "You charged me twice.", "--max-output-tokens", "8"]
    answered = call("predict", *question, *registry)
    assert answered.returncode == 0, answered.stderr


def test_a_refused_model_is_not_registered_and_the_run_says_why(data: Path, tmp_path: Path) -> None:
    options = arguments(
        data, tmp_path, train_steps="1", gate_metric="exact_match", gate_threshold="1"
    )
    done = call(*options)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Not registered" in done.stdout
    assert "exact_match" in done.stdout[done.stdout.index("Not registered") :]
    # The MLflow run tells of it: the registry is there, and has no model.
    listed = call("models", "list", "--json", "--registry-uri", f"sqlite:///{tmp_path}/mlflow.db")
    assert json.loads(listed.stdout) == []


def test_the_chat_template_runs_without_an_evaluation_set(data: Path, tmp_path: Path) -> None:
    options = arguments(
        data,
        tmp_path,
        template="tune-large-chat-model",
        dataset_uri=str(data / "chat_train.jsonl"),
        evaluation_data_uri="",
        default_context="You route messages.",
        train_steps="2",
        registry_uri="sqlite:///elsewhere/registry.db",
    )
    done = call(*options, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "elsewhere" / "registry.db").is_file()
    assert not (tmp_path / "mlflow.db").exists()
    assert f"--registry-uri sqlite:///{tmp_path}/elsewhere/registry.db" in done.stdout
    assert record_of(tmp_path)["template"] == "tune-large-chat-model"
    assert "no evaluation set" in done.stdout


def test_a_bad_dataset_is_refused_and_the_run_resumes_when_it_is_mended(
    data: Path, tmp_path: Path
) -> None:
    dataset = tmp_path / "train.jsonl"
    good = (data / "train.jsonl").read_text(encoding="utf-8")
    dataset.write_text(good + '\n{"input_text": "x"}\n', encoding="utf-8")
    output = tmp_path / "runs"
    done = call(*arguments(data, output, dataset_uri=str(dataset), train_steps="1"))
    assert done.returncode == 1
    assert "line 33" in done.stdout
    assert "output_text" in done.stdout
    assert "Traceback" not in done.stdout
    assert record_of(output)["state"] == "failed"
    dataset.write_text(good, encoding="utf-8")
    resumed = call("run", "--resume", "--output-dir", str(output))
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr


def test_a_refused_start_tells_everything_and_leaves_no_folder(data: Path, tmp_path: Path) -> None:
    changes = {
        "train_steps": "none",
        "learning_rate_multiplier": "-1",
        "accelerator_type": "NPU",
        "dataset_uri": str(tmp_path / "none.jsonl"),
        "registry_uri": "ftp://host",
        "seed": "-1",
    }
    done = call(*arguments(data, tmp_path / "runs", **changes))
    assert done.returncode == 1
    for name in changes:
        assert name in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_start_without_model_and_data_tells_both_and_leaves_no_folder(
    data: Path, tmp_path: Path
) -> None:
    places = {"large_model_reference": tmp_path / "model", "dataset_uri": tmp_path / "none.jsonl"}
    changes = {name: str(path) for name, path in places.items()}
    done = call(*arguments(data, tmp_path / "runs", **changes))
    assert done.returncode == 1
    for name, path in places.items():
        assert f"{name}: no f" in done.stderr
        assert str(path) in done.stderr
    assert not (tmp_path / "runs").exists()


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + 240
    while not condition():
        assert process.poll() is None, "the run ended before it could be interrupted"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def log_of(output: Path, task: str) -> str:
    return "".join(path.read_text(encoding="utf-8") for path in output.glob(f"*/logs/{task}.log"))


def checkpointed(output: Path) -> bool:
    return any(output.glob("*/checkpoints/step-4"))


def kill_when(condition: Callable[[], bool], words: list[str]) -> None:
    process = subprocess.Popen(
        [*COMMAND, *words], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    )
    wait_for(condition, process)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_killed_run_resumes_to_the_same_weights(
    data: Path, tmp_path: Path, finished: tuple[Path, str]
) -> None:
    # In the middle of tuning; `tests/campaigns` kills runs at every other moment.
    kill_when(lambda: checkpointed(tmp_path), arguments(data, tmp_path))
    done = call("run", "--resume", "--output-dir", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert weights_of(tmp_path) == weights_of(finished[0])
    states = {task["name"]: task["state"] for task in record_of(tmp_path)["tasks"]}
    before_tuning = TASKS[1 : TASKS.index("large-language-model-tuner")]
    assert {states[name] for name in before_tuning} == {"cached"}
    listed = call("models", "list", "--json", "--registry-uri", f"sqlite:///{tmp_path}/mlflow.db")
    assert [model["version"] for model in json.loads(listed.stdout)] == [1]


@pytest.mark.slow
def test_a_finished_run_under_another_name_neither_tunes_nor_registers_again(
    tmp_path: Path, finished: tuple[Path, str]
) -> None:
    output = shutil.copytree(finished[0], tmp_path / "moved")
    (record,) = output.glob("*/run.json")
    renamed = record.parent.rename(output / "renamed")
    done = call("run", "--resume", renamed.name, "--output-dir", str(output))
    assert done.returncode == 0, done.stdout + done.stderr
    states = {task["name"]: task["state"] for task in record_of(output)["tasks"]}
    assert states["large-language-model-tuner"] == "cached", states
    assert states["batch-predict"] == states["evaluate-model"] == "cached"
    listed = call("models", "list", "--json", "--registry-uri", f"sqlite:///{output}/mlflow.db")
    assert [model["version"] for model in json.loads(listed.stdout)] == [1]


def test_an_interrupted_run_says_how_to_go_on(data: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, *arguments(data, tmp_path, train_steps="2000", evaluation_interval="2000")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    wait_for(lambda: "step 10/" in log_of(tmp_path, "large-language-model-tuner"), process)
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 75, printed
    assert "kfp-llm-tuning run --resume" in printed
    assert record_of(tmp_path)["state"] == "interrupted"
    assert any(tmp_path.glob("*/checkpoints/step-*"))


@pytest.mark.slow
def test_predictions_that_die_keep_the_model_out_only_where_a_gate_asks_for_them(
    data: Path, tmp_path: Path, killed_predictions: None
) -> None:
    done = call(*arguments(data, tmp_path / "runs"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The tuned model could not be asked" in done.stdout
    assert "killed by SIGKILL" in done.stdout
    (report,) = tmp_path.glob("runs/*/reports/evaluation.html")
    assert "killed by SIGKILL" in report.read_text(encoding="utf-8")
    gate = {"gate_metric": "exact_match", "gate_threshold": "0"}
    gated = call(*arguments(data, tmp_path / "gated", **gate))
    assert gated.returncode == 1, gated.stdout + gated.stderr
    assert "killed by SIGKILL" in gated.stdout
    assert "upload-llm-model" not in gated.stdout


def secrets_in(folder: Path, printed: str, secret: str) -> list[str]:
    """Finds the files of a run that hold a secret, and what was printed where that does."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 10
    found = [str(path) for path in files if secret.encode() in path.read_bytes()]
    return [*found, *(["the terminal"] if secret in printed else [])]


@pytest.mark.slow
def test_the_password_of_a_registry_is_written_nowhere(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db"]
    port = free_port()
    words += ["--artifacts-destination", str(tmp_path / "artifacts"), "--port", str(port)]
    server = subprocess.Popen([sys.executable, *words, "--workers", "1"])
    try:
        wait_for(lambda: answers(port), server)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:s3cretw0rd@127.0.0.1:{port}")
        done = call(*arguments(data, tmp_path / "runs", train_steps="1"))
    finally:
        server.terminate()
        server.wait()
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"http://127.0.0.1:{port}" in done.stdout
    assert not secrets_in(tmp_path / "runs", done.stdout + done.stderr, "s3cretw0rd")
    # Nobody answers any more: the upload fails, with the URI in the library's own message.
    failed = call(*arguments(data, tmp_path / "failed", train_steps="1"))
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert not secrets_in(tmp_path / "failed", failed.stdout + failed.stderr, "s3cretw0rd")


def can_mount() -> bool:
    probe = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return (
        shutil.which("unshare") is not None and subprocess.run(probe, check=False).returncode == 0
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("size=200k", "No space left on device"),
        ("size=5m", "No space left on device"),
        # The disk is full in the middle of the optimizer's state, which torch tells in its own way.
        ("size=12m", "Mend that on this machine"),
        ("ro", "cannot write to the folder"),
    ],
)
def test_a_disk_that_takes_no_more_ends_the_run_with_the_reason(
    data: Path, tmp_path: Path, options: str, reason: str
) -> None:
    if not can_mount():
        pytest.skip("this system lets nobody mount a file system of their own")
    output = tmp_path / "disk"
    output.mkdir()
    words = shlex.join([*COMMAND, *arguments(data, output)])
    script = f"mount -t tmpfs -o {options} none {shlex.quote(str(output))} && exec {words}"
    outer = ["unshare", "--map-root-user", "--mount", "sh", "-c", script]
    done = subprocess.run(outer, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert reason in done.stdout + done.stderr
    assert "Internal error" not in done.stdout + done.stderr


def answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_a_large_download_is_asked_about_in_a_terminal_and_refused_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    what = "text-bison@001 is 15 GB to download."
    monkeypatch.setattr("sys.stdin", Mock(isatty=lambda: False))
    with pytest.raises(UserError, match="--yes"):
        _confirm_download(what)
    asked: list[str] = []
    monkeypatch.setattr("sys.stdin", Mock(isatty=lambda: True))
    monkeypatch.setattr("click.confirm", lambda text, **_: asked.append(text))
    _confirm_download(what)
    assert asked == [f"{what} Go on?"]
