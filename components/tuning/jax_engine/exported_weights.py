"""Writes a trained model in Hugging Face layout: a tensor at a time, no host has it whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray
from safetensors.numpy import save_file

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.models.causal_model import load_config
from kfp_llm_tuning.components.models.checkpoint_files import ADAPTER_CONFIG
from kfp_llm_tuning.components.tuning.export import ADAPTER
from kfp_llm_tuning.components.tuning.jax_engine.adapters import adapter_names
from kfp_llm_tuning.components.tuning.jax_engine.layers import Adapter
from kfp_llm_tuning.components.tuning.jax_engine.loading import stored_tensors
from kfp_llm_tuning.components.tuning.weight_files import write_weights

_ADAPTER_WEIGHTS = "adapter_model.safetensors"


def gathering(mesh: Mesh) -> Callable[[jax.Array], NDArray[Any]]:
    """Makes what gathers an array of a mesh in every process; all of them must call it."""
    gather = jax.jit(lambda array: array, out_shardings=NamedSharding(mesh, PartitionSpec()))
    return lambda array: np.asarray(gather(array).addressable_data(0))


def write_whole(
    trained: Mapping[str, jax.Array], mesh: Mesh, base: Path, folder: Path | None, dtype: str
) -> None:
    """Writes a model all of whose weights were trained; every process must call it.

    Args:
        trained: By the names of the base's files.
        mesh: That they are spread over.
        base: The base model's folder.
        folder: Where to write; None in all processes but the first.
        dtype: Type of the written weights.
    """
    gather, kept = gathering(mesh), jnp.dtype(dtype)
    shapes = {name: trained[name].shape for name in sorted(trained)}

    def read(name: str) -> NDArray[Any]:
        return np.ascontiguousarray(gather(trained[name]).astype(kept))

    write_weights(shapes, kept.itemsize, read, _save, folder)
    _write_config(base, folder, dtype)


def write_merged(
    trained: Mapping[str, jax.Array],
    adapter: Adapter,
    mesh: Mesh,
    base: Path,
    folder: Path | None,
    dtype: str,
) -> None:
    """Writes adapters by themselves, and the base's files with them merged in.

    They are merged in float32 into what the files hold, and rounded once. Every process must call
    it.

    Args:
        trained: By PEFT's names.
        adapter: Their sizes.
        mesh: That they are spread over.
        base: The base model's folder.
        folder: Where to write; None in all processes but the first.
        dtype: Type of the written weights.

    Raises:
        UserError: If a merged weight is not finite.
    """
    gather, kept = gathering(mesh), jnp.dtype(dtype)
    matrices = {name: gather(trained[name]) for name in sorted(trained)}
    if folder is None:
        return
    _write_adapter(matrices, adapter, base, folder / ADAPTER)
    stored = stored_tensors(base)

    def read(name: str) -> NDArray[Any]:
        weight = stored[name].mapped()
        first, second = adapter_names(name)
        if first in matrices:
            weight = weight.astype(np.float32)
            weight += adapter.scale * (matrices[second] @ matrices[first])
            if not np.isfinite(weight).all():
                what = f"{name} with its adapter is not finite."
                raise UserError(Problem(what, "learning_rate", "a lower one"))
        return np.ascontiguousarray(weight.astype(kept))

    shapes = {name: one.shape for name, one in sorted(stored.items())}
    write_weights(shapes, kept.itemsize, read, _save, folder)
    _write_config(base, folder, dtype)


def _save(part: dict[str, NDArray[Any]], path: Path) -> None:
    save_file(part, path, metadata={"format": "pt"})


def _write_config(base: Path, folder: Path | None, dtype: str) -> None:
    if folder is not None:
        config = load_config(base)
        config.dtype, config.use_cache = dtype, True
        config.save_pretrained(folder)


def _write_adapter(
    matrices: dict[str, NDArray[Any]], adapter: Adapter, base: Path, folder: Path
) -> None:
    """Writes what PEFT reads; of what is left out it has the same defaults."""
    folder.mkdir(parents=True)
    save_file(matrices, folder / _ADAPTER_WEIGHTS, metadata={"format": "pt"})
    config = {
        "base_model_name_or_path": str(base),
        "bias": "none",
        "inference_mode": True,
        "lora_alpha": adapter.alpha,
        "lora_dropout": 0.0,
        "peft_type": "LORA",
        "r": adapter.rank,
        "target_modules": sorted(adapter.targets),
        "task_type": "CAUSAL_LM",
    }
    text = json.dumps(config, indent=2, sort_keys=True)
    (folder / ADAPTER_CONFIG).write_text(text + "\n", encoding="utf-8")
