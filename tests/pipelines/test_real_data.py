"""Whole runs on real data; minutes each (`make test-slow`)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

COMMAND = [sys.executable, "-m", "kfp_llm_tuning.pipelines.cli", "run"]
MODEL = ["--large-model-reference", "byte-tiny"]


def run(output: Path, *options: str) -> Path:
    done = subprocess.run(
        [*COMMAND, *MODEL, *options, "--output-dir", str(output)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (directory,) = output.glob("*/tasks/*")
    return directory


def evaluation_of(tasks: Path) -> dict[str, Any]:
    path = tasks / "evaluate-model" / "evaluation" / "evaluation.json"
    return json.loads(path.read_text(encoding="utf-8"))["metrics"]


def test_ten_banking_intents_are_learnt(shared_data: Path, tmp_path: Path) -> None:
    tasks = run(
        tmp_path,
        f"--dataset-uri={shared_data}/clinc150/train.jsonl",
        f"--evaluation-data-uri={shared_data}/clinc150/eval.jsonl",
        "--train-steps=1000",
        "--evaluation-interval=100",
        "--enable-early-stopping=false",
    )
    exact_match = evaluation_of(tasks)["exact_match"]
    assert exact_match["base"] < 0.02
    assert exact_match["tuned"] >= 0.70


def test_the_loss_on_unseen_dialogues_falls(shared_data: Path, tmp_path: Path) -> None:
    lines = (shared_data / "sgd" / "train.jsonl").read_text(encoding="utf-8").splitlines(True)
    (tmp_path / "train.jsonl").write_text("".join(lines[:-32]), encoding="utf-8")
    (tmp_path / "evaluation.jsonl").write_text("".join(lines[-32:]), encoding="utf-8")
    tasks = run(
        tmp_path / "runs",
        "--template=tune-large-chat-model",
        f"--dataset-uri={tmp_path}/train.jsonl",
        f"--evaluation-data-uri={tmp_path}/evaluation.jsonl",
        "--train-steps=100",
    )
    loss = evaluation_of(tasks)["loss"]
    assert loss["tuned"] < 0.6 * loss["base"]
    history = tasks / "large-language-model-tuner" / "tensorboard_metrics" / "history.jsonl"
    logged = [json.loads(line) for line in history.read_text(encoding="utf-8").splitlines()]
    losses = [entry["/eval_total_loss"] for entry in logged if "/eval_total_loss" in entry]
    assert losses == sorted(losses, reverse=True)
