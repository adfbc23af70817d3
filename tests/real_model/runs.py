"""Whole runs of the real model on real data, as a person starts them; what each left."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.registry_location import default_registry_uri
from kfp_llm_tuning.pipelines.local_runs import run_record

ROOT = Path(__file__).parents[2]
# Kept until the next runs, for figures.py to tell of.
RUNS = ROOT / "build" / "real-model-runs"
COMMAND = [sys.executable, "-m", "kfp_llm_tuning.pipelines.cli"]


@dataclass(frozen=True)
class RealTask:
    """A tuning of the real model.

    Attributes:
        name: Of the task, and of the model that it registers.
        training: File of ../shared/data.
        rows: So many of its rows are trained on, from the first.
        evaluation: File of ../shared/data; the same one stands for the rows behind those.
        evaluated: So many of its rows are evaluated.
        options: Of the command.
    """

    name: str
    training: str
    rows: int
    evaluation: str
    evaluated: int
    options: Mapping[str, str] = field(default_factory=dict)

    def write_data(self, shared: Path, folder: Path) -> list[str]:
        """Writes the two files, and gives the options that name them."""
        trained = _rows(shared / self.training)
        behind = trained[self.rows :] if self.evaluation == self.training else None
        evaluated = behind or _rows(shared / self.evaluation)
        files = {"train": trained[: self.rows], "evaluation": evaluated[: self.evaluated]}
        for name, rows in files.items():
            (folder / f"{name}.jsonl").write_text("".join(rows), encoding="utf-8")
        return [
            f"--dataset-uri={folder / 'train.jsonl'}",
            f"--evaluation-data-uri={folder / 'evaluation.jsonl'}",
        ]


def _rows(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines(keepends=True)


# Rates are the defaults of a model of its size. Steps and rows are such that two processors do all
# of them in less than half an hour, and answers so many that a difference shows.
TASKS = [
    RealTask(
        "clinc150-adapter",
        "clinc150/train.jsonl",
        1000,
        "clinc150/eval.jsonl",
        100,
        {"tuning-method": "adapter", "train-steps": "60"},
    ),
    RealTask(
        "clinc150-full",
        "clinc150/train.jsonl",
        1000,
        "clinc150/eval.jsonl",
        100,
        {"tuning-method": "full", "train-steps": "50"},
    ),
    RealTask(
        "gsm8k-adapter",
        "gsm8k/train_with_reasoning.jsonl",
        560,
        "gsm8k/eval.jsonl",
        40,
        {"tuning-method": "adapter", "train-steps": "70", "evaluation-interval": "35"},
    ),
    RealTask(
        "sgd-adapter",
        "sgd/train.jsonl",
        344,
        "sgd/train.jsonl",
        40,
        {
            "template": "tune-large-chat-model",
            "tuning-method": "adapter",
            "train-steps": "80",
            "evaluation-interval": "40",
        },
    ),
]


@dataclass(frozen=True)
class RealRun:
    """A finished run.

    Attributes:
        task: What it did.
        folder: The run's.
        printed: What the command said.
    """

    task: RealTask
    folder: Path
    printed: str

    @property
    def registry_uri(self) -> str:
        """Where its model is registered."""
        return default_registry_uri(self.folder.parent)

    @property
    def model(self) -> Path:
        """The tuned model's folder."""
        return self._output("large-language-model-tuner", "saved_model")

    @cached_property
    def evaluation(self) -> dict[str, Any]:
        """What evaluation.json says."""
        document: dict[str, Any] = _json(
            self._output("evaluate-model", "evaluation") / "evaluation.json"
        )
        return document

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What tuning.json says."""
        document: dict[str, Any] = _json(self.model / "tuning.json")
        return document

    @property
    def seconds(self) -> Mapping[str, float]:
        """How long each of its tasks took."""
        return {task.name: task.seconds for task in run_record.read(self.folder).tasks}

    def answers(self, *, tuned: bool) -> list[dict[str, Any]]:
        """What the tuned model, or its base, wrote to the evaluation set."""
        (folder,) = (
            path.parent
            for path in self.folder.glob("tasks/*/batch-predict*/predictions/info.json")
            if _json(path)["tuned"] is tuned
        )
        return [json.loads(line) for line in _rows(folder / "predictions.jsonl")]

    def encoded(self, task: str = "dataset-encoder") -> Path:
        """The folder of encoded examples."""
        return self._output(task, "encoded")

    def _output(self, task: str, name: str) -> Path:
        (path,) = self.folder.glob(f"tasks/*/{task}/{name}")
        return path


def carry_out(task: RealTask, model: Path, shared: Path, output: Path) -> RealRun:
    """Does a run from its first task to its last.

    Args:
        task: What is to be done.
        model: The real model's folder.
        shared: The folder of real data.
        output: Where runs and registry go; one run may be in it.

    Returns:
        The run.

    Raises:
        AssertionError: If the command fails.
    """
    output.mkdir(parents=True)
    words = [f"--{name}={value}" for name, value in task.options.items()]
    done = subprocess.run(
        [
            *COMMAND,
            "run",
            f"--large-model-reference={model}",
            f"--model-display-name={task.name}",
            f"--output-dir={output}",
            *task.write_data(shared, output),
            *words,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return find(task, output, done.stdout)


def find(task: RealTask, output: Path, printed: str = "") -> RealRun:
    """Finds a run that :func:`carry_out` did."""
    (record,) = output.glob(f"*/{run_record.FILE}")
    return RealRun(task, record.parent, printed)


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
