"""Prepares a run of transformers' Trainer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import TrainerCallback

from kfp_llm_tuning.components.tuning.engine import EngineRun, RunInputs
from kfp_llm_tuning.components.tuning.interruption import Interruption
from kfp_llm_tuning.components.tuning.torch_engine.arithmetic import computes_in_bf16
from kfp_llm_tuning.components.tuning.torch_engine.exported_weights import check_mergeable
from kfp_llm_tuning.components.tuning.torch_engine.run_settings import decide_settings
from kfp_llm_tuning.components.tuning.torch_engine.sharding import decides_to_shard
from kfp_llm_tuning.components.tuning.torch_engine.torch_run import TorchRun
from kfp_llm_tuning.components.tuning.torch_engine.trainable_model import load_trainable
from kfp_llm_tuning.components.tuning.torch_engine.trainer import LabelOnlyTrainer


def prepare(
    inputs: RunInputs, interruption: Interruption, callbacks: Sequence[TrainerCallback]
) -> EngineRun:
    """Loads the model where it will be trained; see :func:`..engine.prepare_run`."""
    arguments, folder = inputs.arguments, inputs.folder
    torch.manual_seed(arguments.seed)
    bf16 = computes_in_bf16(arguments.precision, inputs.newest)
    sharded = decides_to_shard(arguments, folder, bf16=bf16)
    base = load_trainable(folder, arguments, bf16=bf16, sharded=sharded)
    if base.is_merged_from_files:
        check_mergeable(base.model, folder)
    settings = decide_settings(arguments, base, inputs.sets, inputs.checkpoints)
    trainer = LabelOnlyTrainer(base.model, settings, inputs.sets, interruption, callbacks)
    return TorchRun(base, trainer, settings.budget)
