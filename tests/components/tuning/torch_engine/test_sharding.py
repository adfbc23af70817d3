"""Processes that share a model's weights train it as one process does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import save_file

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.torch_engine import sharding
from tests.components.tuning.kill_moments import MOMENTS, wait_for_moment
from tests.components.tuning.runs import (
    DEFAULTS,
    Run,
    assert_close_history,
    assert_same_result,
    start,
    write_shaped_model,
)

LONG = DEFAULTS | {"train_steps": 200, "evaluation_interval": 50, "checkpoint_interval": 100}
LONG |= {"learning_rate": 1e-3}
SHARED = DEFAULTS | {"sharding": "full"}
KILLED = SHARED | {"enable_checkpoint_selection": True}


@pytest.fixture(scope="module")
def shaped_models(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> dict[str, Path]:
    """Small models of other shapes."""
    folder = tmp_path_factory.mktemp("models")
    return {
        shape: write_shaped_model(shape, tiny_model, folder / shape)
        for shape in ("llama", "qwen3", "qwen3_moe")
    }


@pytest.fixture
def make_shaped_run(
    tmp_path: Path, shaped_models: dict[str, Path], train_folder: Path, evaluation_folder: Path
) -> Callable[..., Run]:
    """Makes runs of them."""

    def make(shape: str, name: str) -> Run:
        return Run(tmp_path / name, shaped_models[shape], train_folder, evaluation_folder)

    return make


@pytest.fixture(scope="module")
def run_without_kills(
    tmp_path_factory: pytest.TempPathFactory,
    shaped_models: dict[str, Path],
    train_folder: Path,
    evaluation_folder: Path,
) -> Run:
    """What runs that are killed have to reach."""
    folder = tmp_path_factory.mktemp("unharmed")
    run = Run(folder / "run", shaped_models["llama"], train_folder, evaluation_folder)
    finish(run, 2, **KILLED)
    return run


def finish(run: Run, processes: int = 2, **changes: Any) -> str:
    """Runs the tuner's command; returns what it wrote."""
    process = start([*run.command(**changes), "--processes", str(processes)])
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def assert_equal_weights(run: Run, expected: Run) -> None:
    """Bit for bit."""
    found = run.weights()
    assert found.keys() == expected.weights().keys()
    for name, weight in expected.weights().items():
        assert torch.equal(found[name], weight), name


def assert_close_weights(run: Run, expected: Run) -> None:
    found = run.weights()
    assert found.keys() == expected.weights().keys()
    for name, weight in expected.weights().items():
        assert torch.allclose(found[name], weight, atol=2e-4), name


def test_two_processes_share_what_they_train(make_run: Callable[..., Run], whole_run: Run) -> None:
    run = make_run()
    # So few tokens that they would run unequal numbers of forward passes, and wait for ever.
    output = finish(run, sharding="full", micro_batch_tokens=24)
    assert "Weights are shared over 2 processes" in output
    assert "logits at label positions" in output
    assert_close_history(run, whole_run)
    assert_close_weights(run, whole_run)


@pytest.mark.parametrize(
    ("memory", "changes", "expected"),
    [
        (24_000, {}, False),
        (18_000, {}, True),
        (18_000, {"sharding": "none"}, False),
        (24_000, {"sharding": "full"}, True),
        (4_000, {"tuning": "adapter"}, False),
        (1_900, {"tuning": "adapter"}, True),
        (1_900, {"tuning": "adapter", "load_in_4bit": True}, False),
    ],
)
def test_auto_shards_what_a_device_does_not_hold(
    memory: int,
    changes: dict[str, Any],
    expected: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save_file({"weight": torch.zeros(700)}, tmp_path / "model.safetensors")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(sharding, "_smallest_device", lambda: memory)
    asked = TuningArguments(model_reference="any", **{"tuning": "full"} | changes)
    assert sharding.decides_to_shard(asked, tmp_path, bf16=True) is expected


def test_processors_share_nothing_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = TuningArguments(model_reference="any", tuning="full")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not sharding.decides_to_shard(asked, tmp_path, bf16=False)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tuning": "full"}, "only adapters beside them"),
        ({"sharding": "full"}, "cannot be spread over processes"),
    ],
)
def test_4_bits_are_refused_where_they_cannot_be(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        TuningArguments(model_reference="any", load_in_4bit=True, **changes)


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["llama", "qwen3"])
@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({"tuning": "full", "sharding": "full"}, (2, 4)),
        ({"tuning": "adapter", "sharding": "full"}, (2, 4)),
        ({"tuning": "adapter", "load_in_4bit": True}, (2, 4)),
    ],
    ids=["full", "adapter", "4bit"],
)
def test_losses_are_those_of_one_process(
    make_shaped_run: Callable[..., Run],
    shape: str,
    changes: dict[str, Any],
    counts: tuple[int, ...],
) -> None:
    asked = LONG | changes
    alone = make_shaped_run(shape, "alone")
    finish(alone, 1, **asked)
    for count in counts:
        run = make_shaped_run(shape, f"of-{count}")
        finish(run, count, **asked)
        for entry, expected in zip(run.history(), alone.history(), strict=True):
            assert entry == pytest.approx(expected, rel=1e-5)
        assert_close_weights(run, alone)


@pytest.mark.slow
def test_a_checkpoint_of_four_processes_is_read_by_any_number(
    make_shaped_run: Callable[..., Run],
) -> None:
    saved = make_shaped_run("qwen3", "saved")
    finish(saved, 4, **SHARED)
    for count in (1, 2, 3):
        ended = saved.going_on("ended", count)
        finish(ended, count, **SHARED)
        assert_equal_weights(ended, saved)
        halfway = saved.going_on("halfway", count, step=6)
        finish(halfway, count, **SHARED)
        assert_close_history(halfway, saved)
        assert_close_weights(halfway, saved)


@pytest.mark.slow
def test_experts_are_saved_as_the_base_has_them(make_shaped_run: Callable[..., Run]) -> None:
    alone = make_shaped_run("qwen3_moe", "alone")
    finish(alone, 1, **SHARED)
    run = make_shaped_run("qwen3_moe", "of-2")
    finish(run, 2, **SHARED)
    assert "model.layers.1.mlp.experts.3.up_proj.weight" in run.weights()
    assert_close_history(run, alone)
    assert_close_weights(run, alone)


@pytest.mark.slow
def test_processes_share_what_one_process_saved(make_shaped_run: Callable[..., Run]) -> None:
    saved = make_shaped_run("llama", "saved")
    finish(saved, 1, **SHARED)
    ended = saved.going_on("ended", 2)
    finish(ended, 2, **SHARED)
    assert_equal_weights(ended, saved)
    halfway = saved.going_on("halfway", 2, step=6)
    finish(halfway, 2, **SHARED)
    assert_close_history(halfway, saved)
    assert_close_weights(halfway, saved)


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_process_that_is_killed_at_any_moment_changes_nothing(
    moment: int, make_shaped_run: Callable[..., Run], run_without_kills: Run
) -> None:
    run = make_shaped_run("llama", "killed")
    process = start([*run.command(**KILLED), "--processes", "2"])
    chance = wait_for_moment(moment, run.folder, lambda: process.poll() is not None)
    if process.poll() is None:
        launcher = psutil.Process(process.pid)
        family = [launcher, *launcher.children(recursive=True)]
        chance.choice(family).kill()
        process.communicate(timeout=120)
        # Workers whose launcher is gone end by themselves.
        assert not psutil.wait_procs(family, timeout=120)[1]
    finish(run, 2, **KILLED)
    assert_same_result(run, run_without_kills)


@pytest.mark.slow
def test_weights_in_4_bits_are_merged_into_those_of_the_base(
    make_shaped_run: Callable[..., Run],
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    run = make_shaped_run("llama", "run")
    finish(run, 1, **DEFAULTS | {"tuning": "adapter", "load_in_4bit": True})
    base = AutoModelForCausalLM.from_pretrained(run.model)
    merged = PeftModel.from_pretrained(base, run.paths.output / "adapter").merge_and_unload()
    expected = merged.state_dict()
    for name, weight in run.weights().items():
        assert torch.equal(weight, expected[name]), name
    assert not hasattr(AutoModelForCausalLM.from_pretrained(run.paths.output), "hf_quantizer")
