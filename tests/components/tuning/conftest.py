"""Runs of the tuner on a tiny model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.components.tuning.runs import Run


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Makes sums run in the same order here and in the processes that tests start."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def make_run(
    tmp_path: Path, tiny_model: Path, train_folder: Path, evaluation_folder: Path
) -> Callable[..., Run]:
    """Makes runs of the test's own."""

    def make(name: str = "run", *, evaluation: Path | None = evaluation_folder) -> Run:
        return Run(tmp_path / name, tiny_model, train_folder, evaluation)

    return make


@pytest.fixture(scope="session")
def whole_run(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_model: Path,
    train_folder: Path,
    evaluation_folder: Path,
) -> Run:
    """An uninterrupted run of the defaults."""
    run = Run(tmp_path_factory.mktemp("whole"), tiny_model, train_folder, evaluation_folder)
    run.tune()
    return run
