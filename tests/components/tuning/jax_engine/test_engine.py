"""Whole runs of the tuner on simulated devices, against the torch engine's."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import pytest
from transformers import TrainerCallback

from kfp_llm_tuning.components.common.errors import RunAgain
from kfp_llm_tuning.components.tuning.engine import JAX
from kfp_llm_tuning.components.tuning.jax_engine import engine
from kfp_llm_tuning.components.tuning.tune import tune
from tests.components.tuning.kill_moments import MOMENTS, wait_for_moment
from tests.components.tuning.runs import (
    DEFAULTS,
    Run,
    assert_same_result,
    start,
    write_shaped_model,
)

pytestmark = [pytest.mark.tpu, pytest.mark.timeout(600)]

KILLED = DEFAULTS | {"enable_checkpoint_selection": True}


def tune_here(run: Run, *callbacks: TrainerCallback, **changes: Any) -> dict[str, Any]:
    return tune(run.arguments(**changes), run.paths, callbacks, JAX)


def assert_close(run: Run, expected: Run) -> None:
    for entry, other in zip(run.history(), expected.history(), strict=True):
        assert entry.keys() == other.keys()
        for tag, value in other.items():
            assert entry[tag] == pytest.approx(value, abs=1e-4), (tag, other["step"])


@pytest.mark.parametrize("tuning", ["full", "adapter"])
@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "gemma3_text"])
def test_fifty_steps_equal_those_of_the_torch_engine(
    family: str,
    tuning: str,
    tmp_path: Path,
    tiny_model: Path,
    train_folder: Path,
    evaluation_folder: Path,
) -> None:
    model = write_shaped_model(family, tiny_model, tmp_path / family)
    changes = {"tuning": tuning, "train_steps": 50, "logging_interval": 1, "learning_rate": 0.002}
    expected, run = (
        Run(tmp_path / name, model, train_folder, evaluation_folder) for name in ("torch", "jax")
    )
    expected.tune(**changes)
    tune_here(run, **changes)
    assert_close(run, expected)


def test_it_stops_and_selects_as_the_torch_engine(make_run: Callable[..., Run]) -> None:
    expected, run = make_run("torch"), make_run("jax")
    changes = {
        "train_steps": 40,
        "evaluation_interval": 2,
        "enable_early_stopping": True,
        "enable_checkpoint_selection": True,
        "early_stopping_patience": 2,
    }
    facts, found = expected.tune(**changes), tune_here(run, **changes)
    assert (found["steps"], found["best_step"]) == (facts["steps"], facts["best_step"])
    assert found["steps"] < 40
    assert_close(run, expected)
    assert run.steps_on_disk() == expected.steps_on_disk()


class Sigterm(TrainerCallback):
    """Sends it to this process after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("tuning", ["full", "adapter"])
def test_a_run_that_went_on_is_the_run_that_was_not_interrupted(
    make_run: Callable[..., Run], tuning: str
) -> None:
    whole, run = make_run("whole"), make_run("interrupted")
    tune_here(whole, tuning=tuning)
    with pytest.raises(RunAgain, match="SIGTERM; step 5 of 12 is saved"):
        tune_here(run, Sigterm(5), tuning=tuning)
    tune_here(run, tuning=tuning)
    assert_same_result(run, whole)
    # The end of a run is saved again without training.
    tune_here(run, tuning=tuning)
    assert_same_result(run, whole)


def test_one_device_goes_on_where_eight_stopped(
    make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(jax.devices()) == 8
    whole, run = make_run("whole"), make_run("interrupted")
    tune_here(whole)
    with pytest.raises(RunAgain):
        tune_here(run, Sigterm(5))
    on_one = functools.partial(engine.load_model, devices=jax.devices()[:1])
    monkeypatch.setattr(engine, "load_model", on_one)
    tune_here(run)
    assert_close(run, whole)


@pytest.fixture(scope="module")
def run_without_kills(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_model: Path,
    train_folder: Path,
    evaluation_folder: Path,
) -> Run:
    """What runs that are killed have to reach."""
    folder = tmp_path_factory.mktemp("unharmed")
    run = Run(folder / "run", tiny_model, train_folder, evaluation_folder)
    tune_here(run, **KILLED)
    return run


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_that_is_killed_at_any_moment_is_the_run_that_was_not(
    moment: int, make_run: Callable[..., Run], run_without_kills: Run
) -> None:
    run = make_run("killed")
    command = [*run.command(**KILLED), "--engine", JAX]
    process = start(command)
    wait_for_moment(moment, run.folder, lambda: process.poll() is not None)
    process.kill()
    process.communicate(timeout=120)
    process = start(command)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert_same_result(run, run_without_kills)
