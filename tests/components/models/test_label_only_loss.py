from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from kfp_llm_tuning.components.data.token_layouts import collate
from kfp_llm_tuning.components.data.token_sequence import TokenSequence
from kfp_llm_tuning.components.models.label_only_loss import (
    ForwardPlan,
    Head,
    label_logits,
    label_loss,
    plan_forward,
)
from kfp_llm_tuning.components.models.token_batch import TokenBatch

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
HEADS = {"num_key_value_heads": 1, "head_dim": 16}


def build(kind: str, options: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    config = CONFIG_MAPPING[kind](**SIZES, **options)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def batch_of_rows() -> TokenBatch:
    generator = np.random.default_rng(0)
    sequences = [
        TokenSequence.of_answer(generator.integers(1, 64, length).astype(np.int32), prompt)
        for length, prompt in [(20, 3), (9, 8), (14, 10), (5, 1)]
    ]
    return collate(sequences)


def reference_loss(model: torch.nn.Module, batch: TokenBatch) -> torch.Tensor:
    """The loss that transformers computes itself, over all logits, with a mask."""
    labels = torch.full(batch.keep.shape, -100)
    labels[batch.keep] = batch.targets
    shifted = torch.cat([torch.full((len(labels), 1), -100), labels], dim=1)
    ids = torch.cat([batch.input_ids, torch.zeros(len(labels), 1, dtype=torch.long)], dim=1)
    mask = torch.cat([batch.attention_mask, torch.zeros(len(labels), 1, dtype=torch.long)], dim=1)
    loss: torch.Tensor = model(input_ids=ids, attention_mask=mask, labels=shifted).loss
    return loss * len(batch.targets)


MODELS = {
    "llama": HEADS,
    "qwen3": HEADS,
    "granite": HEADS | {"logits_scaling": 8.0},
    "gemma2": HEADS
    | {"final_logit_softcapping": 5.0, "sliding_window": 4, "query_pre_attn_scalar": 16},
    "mistral": HEADS | {"sliding_window": 4},
    "gpt_neox": {},
}


@pytest.mark.parametrize("kind", MODELS)
def test_loss_and_gradients_equal_those_of_the_full_head(kind: str) -> None:
    model = build(kind, MODELS[kind])
    batch = batch_of_rows()
    weights = list(model.parameters())
    reference = reference_loss(model, batch)
    expected = torch.autograd.grad(reference, weights, allow_unused=True)
    loss, _ = label_loss(label_logits(model, batch, plan_forward(model)), batch.targets)
    found = torch.autograd.grad(loss, weights, allow_unused=True)
    assert loss.item() == pytest.approx(reference.item(), rel=1e-5)
    for left, right in zip(found, expected, strict=True):
        assert (left is None) == (right is None)
        if right is not None:
            torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("head", Head)
@pytest.mark.parametrize("masked", [True, False])
def test_every_head_gives_the_same_logits_with_and_without_mask(head: Head, masked: bool) -> None:
    model, batch = build("llama", HEADS), batch_of_rows()
    expected = label_logits(model, batch, ForwardPlan(Head.FULL, attention_mask=True))
    found = label_logits(model, batch, ForwardPlan(head, masked))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "qwen3", "granite"])
def test_causal_models_take_the_fast_way(kind: str) -> None:
    model = build(kind, MODELS[kind])
    assert plan_forward(model) == ForwardPlan(Head.MASK, attention_mask=False)


@pytest.mark.parametrize("kind", ["gemma2", "mistral"])
def test_windows_keep_the_mask(kind: str) -> None:
    assert plan_forward(build(kind, MODELS[kind])).attention_mask


class Foreign(torch.nn.Module):
    """A model that looks both ways, or refuses or ignores logits_to_keep."""

    def __init__(self, *, bidirectional: bool = False, answer: str = "ignores") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = torch.nn.Embedding(64, 8)
        self.head = torch.nn.Linear(8, 64)
        self.config = SimpleNamespace(get_text_config=lambda: SimpleNamespace())
        self._bidirectional = bidirectional
        self._answer = answer

    def get_input_embeddings(self) -> torch.nn.Embedding:
        return self.embedding

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        use_cache: bool = False,
        **options: Any,
    ) -> SimpleNamespace:
        hidden = self.embedding(input_ids)
        if attention_mask is not None:
            hidden = hidden * attention_mask[..., None]
        mixed = hidden.sum(1, keepdim=True) if self._bidirectional else hidden.cumsum(1)
        keep = options.pop("logits_to_keep", None)
        if keep is not None and self._answer == "refuses":
            raise TypeError("unexpected keyword argument 'logits_to_keep'")
        if keep is not None and self._answer == "positions":
            mixed = (hidden + mixed)[:, keep, :]
            return SimpleNamespace(logits=self.head(mixed))
        return SimpleNamespace(logits=self.head(hidden + mixed))


@pytest.mark.parametrize(
    ("answer", "head"),
    [("refuses", Head.FULL), ("ignores", Head.FULL), ("positions", Head.POSITIONS)],
)
def test_models_without_the_argument_take_the_plain_way(answer: str, head: Head) -> None:
    model = Foreign(answer=answer)
    plan = plan_forward(model)
    assert plan == ForwardPlan(head, attention_mask=False)
    batch = batch_of_rows()
    expected = model(batch.input_ids).logits[batch.keep]
    torch.testing.assert_close(label_logits(model, batch, plan), expected)


def test_a_model_that_looks_ahead_keeps_the_mask() -> None:
    assert plan_forward(Foreign(bidirectional=True)).attention_mask


def test_the_trial_leaves_mode_and_gradients_as_they_were() -> None:
    model = build("llama", HEADS).train()
    plan_forward(model)
    assert model.training
    assert all(weight.grad is None for weight in model.parameters())


def test_correct_predictions_are_counted() -> None:
    logits = torch.tensor([[0.0, 2.0], [3.0, 1.0], [0.0, 1.0]])
    loss, correct = label_loss(logits, torch.tensor([1, 1, 0]))
    assert correct.item() == 1
    expected = sum(math.log(1 + math.exp(gap)) for gap in (-2.0, 2.0, 1.0))
    assert loss.item() == pytest.approx(expected, rel=1e-6)
