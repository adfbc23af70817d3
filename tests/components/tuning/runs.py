"""A tuning run's arguments and folders, and what it leaves; shared by the tests of whole runs."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.places import TuningPaths
from kfp_llm_tuning.components.tuning.tune import tune
from tests.components.encoded_sets import EOS, VOCABULARY
from tests.components.small_models import small_model

MEASURED = {"tokens_per_second", "memory_bytes", "wall_time"}
DEFAULTS: dict[str, Any] = {
    "tuning": "full",
    "train_steps": 12,
    "batch_size": 6,
    "learning_rate": 0.01,
    "precision": "fp32",
    "evaluation_interval": 4,
    "logging_interval": 3,
    "checkpoint_interval": 2,
}


class Run:
    """One run's arguments and folders."""

    def __init__(self, folder: Path, model: Path, train: Path, evaluation: Path | None) -> None:
        self.folder = folder
        self.model = model
        self.paths = TuningPaths(
            train, evaluation, folder / "model", folder / "metrics", folder / "checkpoints"
        )

    def copied_to(self, bucket: Path) -> Run:
        """The same run, with data of its own in a bucket's folder."""
        train, evaluation = self.paths.train_dataset, self.paths.evaluation_dataset
        shutil.copytree(train, bucket / "train")
        if evaluation is not None:
            shutil.copytree(evaluation, bucket / "evaluation")
        return Run(
            bucket / "run", self.model, bucket / "train", evaluation and bucket / "evaluation"
        )

    def going_on(self, name: str, number: int, step: int | None = None) -> Run:
        """Another run, which finds this one's checkpoints; up to a step, or all."""
        train, evaluation = self.paths.train_dataset, self.paths.evaluation_dataset
        folder = self.folder.parent / f"{name}-{number}"
        other = Run(folder, self.model, train, evaluation)
        shutil.copytree(self.paths.checkpoints, other.paths.checkpoints)
        for path in other.paths.checkpoints.glob("step-*"):
            if step is not None and int(path.name[5:]) > step:
                shutil.rmtree(path)
        shutil.copytree(self.paths.metrics, other.paths.metrics)
        return other

    def arguments(self, **changes: Any) -> TuningArguments:
        return TuningArguments(**(DEFAULTS | {"model_reference": str(self.model)} | changes))

    def tune(self, callbacks: Sequence[Any] = (), **changes: Any) -> dict[str, Any]:
        return tune(self.arguments(**changes), self.paths, callbacks)

    def command(self, scheme: str = "", **changes: Any) -> list[str]:
        """The tuner's command; its folders are URIs where a scheme is given."""
        places = {
            f"--{name.replace('_', '-')}": f"{scheme}{path}"
            for name, path in dataclasses.asdict(self.paths).items()
            if path is not None
        }
        return [
            *("-m", "kfp_llm_tuning.components.tuning"),
            *("--payload", self.arguments(**changes).to_json()),
            *(word for option in places.items() for word in option),
        ]

    def history(self) -> list[dict[str, Any]]:
        lines = (self.paths.metrics / "history.jsonl").read_text().splitlines()
        return [
            {key: value for key, value in json.loads(line).items() if key not in MEASURED}
            for line in lines
        ]

    def weights(self) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = load_file(self.paths.output / "model.safetensors")
        return found

    def steps_on_disk(self) -> list[int]:
        return sorted(int(path.name[5:]) for path in self.paths.checkpoints.glob("step-*"))


def start(command: list[str], **variables: str) -> subprocess.Popen[str]:
    """Starts Python in a process that computes as the tests do."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"} | variables
    return subprocess.Popen(
        [sys.executable, *command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(path: Path, text: str, process: subprocess.Popen[str]) -> None:
    """Waits until a file that the process writes holds a text."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if path.exists() and text in path.read_text():
            return
        if process.poll() is not None:
            pytest.fail(f"ended before {text} was in {path}: {process.communicate()[0]}")
        time.sleep(0.005)
    pytest.fail(f"{text} never was in {path}")


def assert_same_result(run: Run, expected: Run) -> None:
    """Bit for bit."""
    assert run.history() == expected.history()
    assert run.weights().keys() == expected.weights().keys()
    for name, weight in expected.weights().items():
        assert torch.equal(run.weights()[name], weight), name


def assert_close_history(run: Run, expected: Run) -> None:
    for entry, other in zip(run.history(), expected.history(), strict=True):
        assert entry == pytest.approx(other, rel=2e-4)


def write_shaped_model(kind: str, tokenizer: Path, folder: Path) -> Path:
    """Writes a small model of a kind beside the tokenizer of another model's folder."""
    shutil.copytree(tokenizer, folder)
    # Small models of Qwen and Gemma have one matrix for what is read and what is written.
    tied = kind in {"qwen3", "gemma3_text"}
    made = small_model(kind, VOCABULARY, eos_token_id=EOS, tie_word_embeddings=tied)
    made.save_pretrained(folder)
    return folder
