"""Writes a trained model in Hugging Face layout: configuration, merged weights, adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig

from kfp_llm_tuning.components.models.causal_model import load_config
from kfp_llm_tuning.components.tuning.export import ADAPTER
from kfp_llm_tuning.components.tuning.torch_engine.exported_weights import (
    architecture,
    write_merged_weights,
    write_shared_weights,
)
from kfp_llm_tuning.components.tuning.torch_engine.trainable_model import TrainableModel
from kfp_llm_tuning.components.tuning.torch_engine.trained_weights import (
    has_adapters,
    weights_to_save,
)


def write_model(model: Any, base: TrainableModel, folder: Path | None) -> None:
    """Writes a model.

    Args:
        model: The trained model; a PEFT model where adapters were tuned. Is changed.
        base: As it was loaded.
        folder: Where to; None in processes that only give what they hold of a sharded model.
    """
    if folder is not None:
        if base.is_placed:
            _write_from_files(model, base, folder)
        else:
            _write_whole(model, base.dtype, folder)
    elif base.sharded and not has_adapters(model):
        write_shared_weights(model, base.folder, None, base.dtype)


def _write_whole(model: Any, dtype: torch.dtype, folder: Path) -> None:
    if has_adapters(model):
        model.save_pretrained(folder / ADAPTER)
        model = model.merge_and_unload(safe_merge=True)
    model.to(dtype)
    model.config.use_cache = True
    # How it completes is written by export.py; the base's own might not be savable.
    model.generation_config = GenerationConfig()
    model.save_pretrained(folder)


def _write_from_files(model: Any, base: TrainableModel, folder: Path) -> None:
    """Writes a model of which no process holds the weights: tensor by tensor."""
    causal = model
    if has_adapters(model):
        # Else PEFT would gather the whole model, which other processes know nothing of.
        model.save_pretrained(folder / ADAPTER, state_dict=weights_to_save(model))
        causal = model.get_base_model()
        write_merged_weights(model, base.folder, folder, base.dtype)
    else:
        write_shared_weights(model, base.folder, folder, base.dtype)
    # The base's own: the model's says how it was loaded.
    config = load_config(base.folder)
    config.architectures = [architecture(causal)]
    config.dtype, config.use_cache = base.dtype, True
    config.save_pretrained(folder)
