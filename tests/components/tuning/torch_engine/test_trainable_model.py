"""Which weights are trained of a model that also sees pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.torch_engine.trainable_model import load_trainable


@pytest.fixture(scope="module")
def seeing_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Gemma 3 of one layer with a vision tower of one layer."""
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    text = size | {"vocab_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1}
    vision = size | {"num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    config = Gemma3Config(
        text_config=text | {"head_dim": 8}, vision_config=vision, mm_tokens_per_image=4
    )
    folder = tmp_path_factory.mktemp("seeing")
    Gemma3ForConditionalGeneration(config).save_pretrained(folder)
    return folder


def _trained(model: Any) -> set[str]:
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


def _load(folder: Path, tuning: str) -> Any:
    arguments = TuningArguments(model_reference=str(folder), tuning=tuning)
    return load_trainable(folder, arguments, bf16=False).model


def test_adapters_are_only_where_text_passes(seeing_model: Path) -> None:
    trained = _trained(_load(seeing_model, "adapter"))
    assert len(trained) == 14  # two matrices for each of the seven of one layer
    assert all("language_model" in name and "lora_" in name for name in trained)


def test_full_tuning_leaves_the_tower_as_it_is(seeing_model: Path) -> None:
    trained = _trained(_load(seeing_model, "full"))
    assert any("embed_tokens" in name for name in trained)
    assert not [name for name in trained if "vision" in name or "multi_modal" in name]


def test_weights_that_are_missing_are_never_drawn_at_random(
    tiny_model: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    for path in tiny_model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights: dict[str, torch.Tensor] = load_file(tiny_model / "model.safetensors")
    del weights["model.layers.0.mlp.up_proj.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 weights .*: model\.layers\.0\.mlp\.up_proj"):
        _load(tmp_path, "full")
