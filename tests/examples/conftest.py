"""The examples are called as a reader of them calls them, on a few rows of the shipped data."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass(frozen=True)
class ExampleRun:
    """What a run of an example left."""

    exit_code: int
    printed: str
    folder: Path

    @property
    def record(self) -> dict[str, Any]:
        text = (self.folder / "run.json").read_text(encoding="utf-8")
        document: dict[str, Any] = json.loads(text)
        return document

    @property
    def tasks(self) -> list[str]:
        return [task["name"] for task in self.record["tasks"]]

    def output(self, task: str, name: str) -> Path:
        (path,) = self.folder.glob(f"tasks/**/{task}/{name}")
        return path

    def log(self, task: str) -> str:
        return (self.folder / "logs" / f"{task}.log").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Place:
    """A folder for runs, with their registry, and data for them."""

    folder: Path

    @property
    def registry_uri(self) -> str:
        return f"sqlite:///{self.folder}/runs/mlflow.db"

    def rows(self, name: str, count: int, begin: int = 0) -> list[str]:
        lines = (EXAMPLES / "support" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        return lines[begin : begin + count]

    def data(self, name: str, count: int) -> str:
        path = self.folder / f"{name}.jsonl"
        path.write_text("\n".join(self.rows(name, count)) + "\n", encoding="utf-8")
        return str(path)

    def run(self, example: str, inputs: Mapping[str, Any]) -> ExampleRun:
        before = set(self.folder.glob("runs/*/run.json"))
        words = [f"--{name.replace('_', '-')}={value}" for name, value in inputs.items()]
        done = subprocess.run(
            [
                sys.executable,
                str(EXAMPLES / f"{example}.py"),
                "run",
                "--output-dir",
                "runs",
                *words,
            ],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        (record,) = set(self.folder.glob("runs/*/run.json")) - before or {self.folder / "none"}
        return ExampleRun(done.returncode, done.stdout + done.stderr, record.parent)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def load() -> Callable[[str], Any]:
    """Imports an example."""

    def imported(example: str) -> Any:
        import importlib.util

        spec = importlib.util.spec_from_file_location(example, EXAMPLES / f"{example}.py")
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return imported
