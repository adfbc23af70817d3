"""Engines that compute in float32: exactness can be seen in it only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from kfp_llm_tuning.components.generation import transformers_engine
from kfp_llm_tuning.components.generation.transformers_engine import TransformersEngine

EOS = 2


@pytest.fixture(scope="session")
def open_exactly() -> Callable[[Path], TransformersEngine]:
    """Opens engines that compute in float32."""

    def open_engine(folder: Path) -> TransformersEngine:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(transformers_engine, "fastest_dtype", lambda: torch.float32)
            return TransformersEngine(folder)

    return open_engine


@pytest.fixture(scope="module")
def engine(
    model_folder: Path, open_exactly: Callable[[Path], TransformersEngine]
) -> Iterator[TransformersEngine]:
    """The tiny Llama."""
    opened = open_exactly(model_folder)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def model(model_folder: Path) -> Any:
    """The same model, without an engine."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32).eval()
