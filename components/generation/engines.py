"""Chooses the engine that runs a model."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.manifest import is_loaded, verify
from kfp_llm_tuning.components.models.integrity import check_whole

if TYPE_CHECKING:
    from kfp_llm_tuning.components.generation.engine import Engine

ENGINES = ("auto", "transformers", "vllm")


def open_engine(folder: Path, name: str = "auto") -> Engine:
    """Loads a model into an engine.

    Args:
        folder: The model, in Hugging Face layout with safetensors.
        name: One of ``ENGINES``; ``auto`` is vLLM where it is installed and a GPU is there, else
            transformers.

    Returns:
        The engine.

    Raises:
        UserError: If the name is none of them, vLLM is asked for and not installed, or the model
            is not whole, or not as the tuner wrote it.
    """
    if name not in ENGINES:
        raise UserError(Problem(f"{name!r} is no engine.", "engine", ", ".join(ENGINES)))
    if name == "vllm" and not _has_vllm():
        raise UserError(_no_vllm())
    check_whole(folder)
    verify(folder, among=is_loaded)
    if name == "vllm" or (name == "auto" and _has_vllm() and _has_gpu()):
        from kfp_llm_tuning.components.generation.vllm_engine import VllmEngine

        return VllmEngine(folder)
    from kfp_llm_tuning.components.generation.transformers_engine import TransformersEngine

    return TransformersEngine(folder)


def _has_vllm() -> bool:
    return importlib.util.find_spec("vllm") is not None


def _has_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def _no_vllm() -> Problem:
    return Problem(
        "vLLM is not installed.",
        "engine",
        "auto, transformers",
        "It has an environment of its own: the image serving-gpu, or constraints-vllm.txt.",
    )
