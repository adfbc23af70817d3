"""Sizes of models from their configurations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kfp_llm_tuning.components.common.tables import load_table
from kfp_llm_tuning.components.models import byte_tiny, model_references
from kfp_llm_tuning.components.models.model_shapes import TABLE, shape_of, shape_of_config

# Millions of weights, as the models' cards and papers name them.
PUBLISHED = {
    "hf://HuggingFaceTB/SmolLM2-135M-Instruct": 134.5,
    "hf://HuggingFaceTB/SmolLM3-3B": 3075,
    "hf://Qwen/Qwen3-0.6B": 596,
    "hf://Qwen/Qwen3-8B": 8190,
    "hf://Qwen/Qwen3-32B": 32_760,
    "hf://Qwen/Qwen2.5-7B-Instruct": 7616,
    "hf://meta-llama/Llama-3.2-1B-Instruct": 1236,
    "hf://meta-llama/Llama-3.2-3B-Instruct": 3213,
    "hf://meta-llama/Llama-3.1-8B-Instruct": 8030,
    "hf://meta-llama/Llama-3.3-70B-Instruct": 70_554,
    "hf://google/gemma-3-270m-it": 268,
    "hf://google/gemma-3-1b-it": 1000,
    "hf://mistralai/Mistral-7B-Instruct-v0.3": 7248,
    "hf://mistralai/Mistral-Nemo-Instruct-2407": 12_248,
    "hf://microsoft/phi-4": 14_660,
    "hf://ibm-granite/granite-3.3-2b-instruct": 2534,
    "hf://allenai/OLMo-2-0425-1B-Instruct": 1485,
}


@pytest.mark.parametrize("checkpoint", PUBLISHED)
def test_weights_are_as_many_as_published(checkpoint: str) -> None:
    shape = shape_of(checkpoint)
    assert shape is not None
    assert shape.weights / 1e6 == pytest.approx(PUBLISHED[checkpoint], rel=0.002)


def test_every_model_that_has_a_name_has_sizes() -> None:
    named = {model_references.resolve(name).checkpoint for name in model_references.names()}
    assert named == set(load_table(TABLE)["shapes"])


def test_the_shape_of_a_folder_is_read_from_its_configuration(tmp_path: Path) -> None:
    config = byte_tiny.build_config().to_dict()
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert shape_of(str(tmp_path)) == shape_of("builtin://byte-tiny") == shape_of_config(config)


@pytest.mark.parametrize(
    "config", [{}, {"model_type": "mamba"}, {"model_type": "llama", "hidden_size": "many"}]
)
def test_nothing_is_said_of_what_is_not_known(config: dict[str, object], tmp_path: Path) -> None:
    assert shape_of_config(config) is None
    (tmp_path / "config.json").write_text("{")
    assert shape_of(str(tmp_path)) is None
    assert shape_of("gs://bucket/model") is None
