"""The real model, and the runs that its tests look at: each is done once."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.real_model.runs import ROOT, RUNS, TASKS, RealRun, carry_out


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks all tests of this folder."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.real_model)
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture(scope="session")
def base() -> Path:
    """The folder of SmolLM2-135M-Instruct, made where it is not there."""
    folder: Path = runpy.run_path(str(ROOT / "examples" / "orders" / "make_model.py"))["make"]()
    return folder


@pytest.fixture(scope="session")
def tokenizer(base: Path) -> Any:
    """Its tokenizer, as transformers reads it."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(base)


@pytest.fixture(scope="session")
def runs(base: Path, shared_data: Path) -> Any:
    """Gives the run of a task; does it for the first who asks."""
    shutil.rmtree(RUNS, ignore_errors=True)
    done: dict[str, RealRun] = {}

    def run(name: str) -> RealRun:
        if name not in done:
            (task,) = (task for task in TASKS if task.name == name)
            done[name] = carry_out(task, base, shared_data, RUNS / name)
        return done[name]

    return run


@pytest.fixture(params=[task.name for task in TASKS])
def run(request: pytest.FixtureRequest, runs: Any) -> RealRun:
    """Each run, one after the other."""
    finished: RealRun = runs(request.param)
    return finished
