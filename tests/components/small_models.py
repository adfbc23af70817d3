"""Small models of several shapes, and the comparison of what they learn in several ways."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from kfp_llm_tuning.components.data.encoded_set import EncodedSet, SequencePart
from kfp_llm_tuning.components.data.token_layouts import EndToEnd, PaddedRows
from kfp_llm_tuning.components.models.forward_trial import plan_forward
from kfp_llm_tuning.components.models.label_only_loss import label_loss

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 4096,
    "pad_token_id": 0,
}
HEADS = {"num_key_value_heads": 1, "head_dim": 16}
GEMMA = {"query_pre_attn_scalar": 16, "sliding_window": 4}
MODELS: dict[str, dict[str, Any]] = {
    "llama": HEADS,
    "qwen2": {"num_key_value_heads": 1},
    "qwen3": HEADS,
    "granite": HEADS | {"logits_scaling": 8.0},
    "gemma2": HEADS | GEMMA | {"final_logit_softcapping": 5.0},
    "gemma3_text": HEADS | GEMMA | {"layer_types": ["sliding_attention", "full_attention"]},
    "mistral": HEADS | {"sliding_window": 4},
    "gpt_neox": {},
    "qwen3_moe": HEADS | {"moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2},
}


def small_model(kind: str, vocabulary: int = 64, *, lora: bool = False, **changes: Any) -> Any:
    """A model of a kind in float32, in training mode; adapters are not zero."""
    torch.manual_seed(0)
    config = CONFIG_MAPPING[kind](vocab_size=vocabulary, **SIZES, **MODELS[kind], **changes)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    if lora:
        model = get_peft_model(model, LoraConfig(target_modules="all-linear"))
        for name, weight in model.named_parameters():
            if "lora_B" in name:  # Zeros would leave the other matrix without a gradient.
                torch.nn.init.normal_(weight, std=0.1)
    return model.train()


Outcome = tuple[float, list[torch.Tensor | None]]


def outcome(model: Any, losses: Iterator[torch.Tensor]) -> Outcome:
    """The loss and all gradients, of the sum of some losses."""
    model.zero_grad()
    total = 0.0
    for loss in losses:
        loss.backward()
        total += loss.item()
    trained = [p for p in model.parameters() if p.requires_grad]
    return total, [None if p.grad is None else p.grad.clone() for p in trained]


def assert_equal(found: Outcome, expected: Outcome) -> None:
    assert found[0] == pytest.approx(expected[0], rel=1e-6)
    for left, right in zip(found[1], expected[1], strict=True):
        assert (left is None) == (right is None)
        if left is not None and right is not None:
            scale = max(float(right.abs().max()), 1.0)
            torch.testing.assert_close(left, right, rtol=0, atol=1e-5 * scale)


def assert_learned_alike(model: Any, encoded: EncodedSet, rows: Iterable[int]) -> None:
    """Compares answers one at a time with their whole sequences: padded, and without padding."""
    whole = [encoded.sequence(row) for row in rows]
    alone = [
        encoded.part(SequencePart(row, answer, answer + 1))
        for row in rows
        for answer in range(encoded.answer_counts[row])
    ]
    plan, padded = plan_forward(model), PaddedRows()
    losses = (label_loss(model, padded.collate([one]), plan)[0] for one in alone)
    expected = outcome(model, losses)
    together = label_loss(model, padded.collate(whole), plan)[0]
    assert_equal(outcome(model, iter([together])), expected)
    plan = plan_forward(model, packed=True)
    assert plan.packed
    packed = label_loss(model, EndToEnd().collate(whole), plan)[0]
    assert_equal(outcome(model, iter([packed])), expected)
