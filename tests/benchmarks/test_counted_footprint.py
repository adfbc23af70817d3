"""What is reckoned from a model's widths is what the tuner's own passes keep and move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from counted_operations import Gpu
from counted_steps import Way, _worked, count_layers
from fake_models import fake_model

from kfp_llm_tuning.components.data.token_layouts import EndToEnd, PaddedRows
from kfp_llm_tuning.components.data.token_sequence import TokenSequence
from kfp_llm_tuning.components.models.footprint import Method, layer_bytes
from kfp_llm_tuning.components.models.label_only_loss import ForwardPlan
from kfp_llm_tuning.components.models.model_shapes import shape_of_config
from kfp_llm_tuning.components.models.token_batch import TokenBatch
from kfp_llm_tuning.components.models.training_time import _moved
from kfp_llm_tuning.components.tuning.torch_engine.fast_path import _keep_input_of_adapters
from kfp_llm_tuning.components.tuning.torch_engine.memory import measure_pass

# Proportions of Llama 3.2 1B, Qwen3 0.6B and Gemma 3 1B, an eighth as wide.
SHAPES = {
    "llama": (256, 1024, 8, 2, 32),
    "qwen3": (128, 384, 4, 2, 64),
    "gemma3_text": (144, 864, 2, 1, 64),
}
# Makes arithmetic free and a byte last a second.
RAW = Gpu("raw", 1e18, 1.0, 1e30, 1e30, 1.0, 0.0, 0.0, 0.0)


def config_of(kind: str) -> Mapping[str, Any]:
    hidden, feed_forward, heads, key_heads, head = SHAPES[kind]
    return {
        "model_type": kind,
        "hidden_size": hidden,
        "intermediate_size": feed_forward,
        "num_attention_heads": heads,
        "num_key_value_heads": key_heads,
        "head_dim": head,
        "num_hidden_layers": 2,
        "vocab_size": 512,
        "tie_word_embeddings": True,
    }


def kept_bytes(layers: int, tuning: str, *, packed: bool) -> float:
    lengths: list[int] = []
    layout = EndToEnd() if packed else PaddedRows()

    def batch(tokens: int) -> TokenBatch:
        lengths[:] = [tokens]
        return layout.collate([TokenSequence.of_answer(np.zeros(tokens + 1, np.int32), tokens)])

    with fake_model("shape", layers, tuning) as model:
        if tuning == "adapter":
            _keep_input_of_adapters(model)
        with _worked(model, Way(packed), lengths), torch.autocast("cpu", torch.bfloat16):
            plan = ForwardPlan(label_only=True, attention_mask=False, packed=packed)
            return measure_pass(model, plan, batch, bytes_per_value=2).layers


@pytest.mark.parametrize("packed", [True, False], ids=["gpu", "cpu"])
@pytest.mark.parametrize("tuning", ["adapter", "full"])
@pytest.mark.parametrize("kind", SHAPES)
def test_a_layer_keeps_what_is_reckoned(
    kind: str, tuning: str, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(kind)
    monkeypatch.setattr("model_shapes.SHAPES", {"shape": config})
    counted = kept_bytes(2, tuning, packed=packed) - kept_bytes(1, tuning, packed=packed)
    shape = shape_of_config(config)
    assert shape
    assert layer_bytes(shape, Method(tuning), cuda=packed) == pytest.approx(counted, rel=0.1)


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_full_tuning_moves_what_is_reckoned(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(kind)
    monkeypatch.setattr("model_shapes.SHAPES", {"shape": config})

    def moved(layers: int, tokens: int) -> np.ndarray[Any, Any]:
        rows = [TokenSequence.of_answer(np.zeros(tokens + 1, np.int32), tokens)]
        count = count_layers("shape", layers, "full", Way(packed=True), [rows], RAW)
        return np.array([count.forward.other, count.backward.other])

    counted = (moved(2, 512) - moved(1, 512) - moved(2, 256) + moved(1, 256)) / 256
    shape = shape_of_config(config)
    assert shape
    reckoned = [_moved(shape, Method("full"), backward=backward) for backward in (False, True)]
    assert reckoned == pytest.approx(counted.tolist(), rel=0.15)
