from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, TrainingArguments

from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.checkpoints import CheckpointDirectory
from kfp_llm_tuning.components.tuning.torch_engine import memory
from kfp_llm_tuning.components.tuning.torch_engine.memory import TokenBudget
from kfp_llm_tuning.components.tuning.torch_engine.run_settings import RunSettings, decide_settings
from kfp_llm_tuning.components.tuning.torch_engine.trainable_model import TrainableModel


def decide(model: Path, checkpoints: Path, **options: int) -> RunSettings:
    loaded = AutoModelForCausalLM.from_pretrained(model)
    sets: Any = SimpleNamespace(longest=5000)
    return decide_settings(
        TuningArguments("m", train_steps=1, batch_size=8, **options),
        TrainableModel(loaded, loaded.dtype, bf16=False),
        sets,
        CheckpointDirectory(checkpoints),
    )


@pytest.mark.parametrize(("free", "least", "most"), [(2**40, 2048, 2048), (2**20, 1, 1)])
def test_a_processor_takes_no_more_tokens_at_once_than_make_it_faster(
    monkeypatch: pytest.MonkeyPatch,
    tiny_model: Path,
    tmp_path: Path,
    free: int,
    least: int,
    most: int,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(memory, "available_bytes", lambda device: free)
    settings = decide(tiny_model, tmp_path)
    assert least <= settings.budget.training <= most
    assert settings.budget.evaluation <= most
    assert not settings.budget.recomputed_every
    assert not settings.plan.packed
    assert settings.plan.label_only


def test_tokens_that_are_asked_for_are_taken(tiny_model: Path, tmp_path: Path) -> None:
    settings = decide(tiny_model, tmp_path, micro_batch_tokens=600)
    assert settings.budget.training == 600


@pytest.mark.parametrize(("every", "words"), [(1, "layers recomputed"), (3, "one layer of 3")])
def test_layers_are_recomputed_as_the_budget_says(
    tiny_model: Path, tmp_path: Path, every: int, words: str
) -> None:
    settings = decide(tiny_model, tmp_path)
    assert not settings.training_arguments(evaluate=False).activation_checkpointing
    budget = TokenBudget(10, 10, every)
    arguments: TrainingArguments = dataclasses.replace(settings, budget=budget).training_arguments(
        evaluate=False
    )
    assert arguments.activation_checkpointing
    assert arguments.activation_checkpointing_kwargs == {"every_n_layers": every}
    assert words in budget.recomputation


def test_faster_ways_are_tried_before_memory_is_measured(
    tiny_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        settings = decide(tiny_model, tmp_path)
    assert [one.partition(":")[0] for one in caplog.messages] == ["Fast path", "Forward pass"]
    assert settings.training_arguments(evaluate=False).optim == "adamw_torch_fused"
