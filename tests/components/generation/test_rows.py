"""Rows that join and leave get what they get alone, in models of many kinds."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, GenerationConfig

from kfp_llm_tuning.components.generation.decoding import Decoder, Row
from kfp_llm_tuning.components.generation.engine import GenerationRequest
from kfp_llm_tuning.components.generation.rows import RowModel, stay_in_place
from tests.components.generation.listeners import RecordingListener

EOS = 2
SIZES = {
    "vocab_size": 99,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": EOS,
}
WINDOW = {"sliding_window": 8}
GPT2_SIZES = {"vocab_size": 99, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512}
BLOOM_SIZES = {"vocab_size": 99, "hidden_size": 32, "n_layer": 2, "n_head": 4}
MAMBA_SIZES = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}
LINEAR = {
    "head_dim": 8,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
CHUNKS = {
    "head_dim": 8,
    "intermediate_size_mlp": 48,
    "num_local_experts": 2,
    "attention_chunk_size": 8,
}
# Name of the configuration, its values, and whether rows may join a running batch.
MODELS = {
    "llama": ("LlamaConfig", SIZES, True),
    "qwen2": ("Qwen2Config", SIZES, True),
    "qwen3": ("Qwen3Config", {**SIZES, "head_dim": 8}, True),
    "mistral-window": ("MistralConfig", {**SIZES, **WINDOW}, True),
    "gemma3-window": ("Gemma3TextConfig", {**SIZES, **WINDOW, "head_dim": 8}, True),
    "gpt2-learned-positions": ("GPT2Config", {**GPT2_SIZES, "eos_token_id": EOS}, True),
    "bloom-alibi": ("BloomConfig", BLOOM_SIZES, True),
    "mamba": ("MambaConfig", MAMBA_SIZES, False),
    "qwen3next-linear": ("Qwen3NextConfig", {**SIZES, **LINEAR}, False),
    "llama4-chunks": ("Llama4TextConfig", {**SIZES, **CHUNKS}, False),
}


def build(name: str) -> Any:
    """Builds a model whose weights are so large that every token tells on all after it."""
    kind, values, _ = MODELS[name]
    config = getattr(transformers, kind)(**values)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = AutoModelForCausalLM.from_config(config).float().eval()
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                torch.nn.init.normal_(parameter, std=0.3)
    return model


def alone(model: Any, prompt: list[int], limit: int) -> list[int]:
    """What transformers' own generate writes."""
    config = GenerationConfig(
        do_sample=False, max_new_tokens=limit, eos_token_id=EOS, pad_token_id=0
    )
    ids = torch.tensor([prompt])
    written = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
    tokens: list[int] = written[0, len(prompt) :].tolist()
    return tokens[: tokens.index(EOS)] if EOS in tokens else tokens


@pytest.mark.parametrize("name", MODELS)
def test_rows_that_come_and_go_get_what_they_get_alone(name: str) -> None:
    model = build(name)
    rows = RowModel(model, pad=0)
    assert rows.rows_may_join is MODELS[name][2]
    chance = random.Random(5)
    prompts = [
        [chance.randint(3, 98) for _ in range(chance.choice([1, 2, 5, 9, 14, 25]))]
        for _ in range(12)
    ]
    limits = [chance.randint(1, 14) for _ in prompts]
    decoder = Decoder(rows)
    listeners = [RecordingListener() for _ in prompts]
    for number, (prompt, limit) in enumerate(zip(prompts, limits, strict=True)):
        decoder.add(Row(GenerationRequest(prompt, limit, [EOS]), listeners[number]))
        for _ in range(number % 3):
            decoder.step()
    while decoder.busy:
        decoder.step()
    written = [each.wait().tokens for each in listeners]
    assert written == [alone(model, *asked) for asked in zip(prompts, limits, strict=True)]
    assert len(set(map(tuple, written))) > 8


def test_columns_that_no_row_needs_are_dropped() -> None:
    model = RowModel(build("llama"), pad=0)
    with torch.inference_mode():
        rows, _ = model.read([[5] * 200, [6] * 10])
        assert rows.width == 200
        rows.keep([1])
        assert rows.width == 10
        assert rows.mask() is None
        assert all(layer.keys.shape[-2] == 10 for layer in rows.cache.layers)
        held = [layer.keys.untyped_storage().nbytes() for layer in rows.cache.layers]
        assert max(held) <= 2 * 42 * 8 * 4  # heads, columns with those to spare, size, bytes
        longer, _ = model.read([[7] * 50])
        rows.join(longer)
        assert (len(rows), rows.width) == (2, 50)
        assert rows.append([3, 4]).shape == (2, 99)


@given(st.lists(st.booleans(), max_size=40))
def test_rows_that_stay_keep_their_place_where_they_can(stays: list[bool]) -> None:
    order = stay_in_place(stays)
    assert sorted(order) == [row for row, stay in enumerate(stays) if stay]
    assert all(row == place or not stays[place] for place, row in enumerate(order))
