"""Whole runs of the tuner on simulated devices, against the torch engine's."""

from __future__ import annotations

from pathlib import Path

import pytest

from kfp_llm_tuning.components.tuning.engine import JAX
from kfp_llm_tuning.components.tuning.tune import tune
from tests.components.tuning.runs import Run

pytestmark = [pytest.mark.tpu, pytest.mark.timeout(600)]


@pytest.mark.parametrize("tuning", ["full", "adapter"])
def test_fifty_steps_equal_those_of_the_torch_engine(
    tmp_path: Path,
    tiny_model: Path,
    train_folder: Path,
    evaluation_folder: Path,
    tuning: str,
) -> None:
    runs = [
        Run(tmp_path / name, tiny_model, train_folder, evaluation_folder)
        for name in ("torch", "jax")
    ]
    changes = {"tuning": tuning, "train_steps": 50, "logging_interval": 1}
    runs[0].tune(**changes)
    tune(runs[1].arguments(**changes), runs[1].paths, engine=JAX)
    for expected, found in zip(runs[0].history(), runs[1].history(), strict=True):
        assert found.keys() == expected.keys()
        for tag, value in expected.items():
            assert found[tag] == pytest.approx(value, abs=1e-4), (tag, expected["step"])
