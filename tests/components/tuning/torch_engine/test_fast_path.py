"""Faster ways to compute the same: kept where they do, and else put back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from kfp_llm_tuning.components.models.label_only_loss import ForwardPlan
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.torch_engine.fast_path import (
    Candidate,
    Situation,
    take_fast_path,
)
from kfp_llm_tuning.components.tuning.torch_engine.trainable_model import with_adapter

PLAN = ForwardPlan(label_only=True, attention_mask=False)


@pytest.fixture
def model() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    return LlamaForCausalLM(config)


@pytest.fixture
def adapted(model: Any) -> Any:
    return with_adapter(model, TuningArguments("m", tuning="adapter"))


def situation(model: Any, *, bf16: bool = False) -> Situation:
    return Situation(model, PLAN, bf16, steps=10)


def candidate(change: Callable[[Any], None]) -> tuple[Candidate]:
    return (Candidate("another way", lambda _: "", change),)


def _norms(times: float) -> Callable[[Any], None]:
    """Gives every norm another forward pass, as fused kernels are given."""

    def change(model: Any) -> None:
        for module in model.modules():
            if type(module).__name__ == "LlamaRMSNorm":
                usual = module.forward
                module.forward = lambda hidden, usual=usual: usual(hidden) * times

    return change


def _own_forwards(model: Any) -> int:
    return sum("forward" in vars(module) for module in model.modules())


def test_what_computes_the_same_stays(model: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert take_fast_path(situation(model), candidate(_norms(1))) == {"another way": ""}
    assert caplog.messages == ["Fast path: another way: on."]
    assert _own_forwards(model) == 5


def test_what_computes_something_else_is_put_back(
    model: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        found = take_fast_path(situation(model), candidate(_norms(1.01)))
    assert found["another way"].startswith("its results differ by ")
    assert caplog.messages[-1].startswith("Fast path: no another way: its results differ by ")
    assert _own_forwards(model) == 0


def test_what_raises_is_put_back_with_code_that_it_replaced(model: Any) -> None:
    from transformers.models.llama import modeling_llama

    usual = modeling_llama.apply_rotary_pos_emb

    def change(model: Any) -> None:
        _norms(2)(model)
        modeling_llama.apply_rotary_pos_emb = None
        raise RuntimeError("no kernel image\nis available")

    assert take_fast_path(situation(model), candidate(change)) == {"another way": "no kernel image"}
    assert modeling_llama.apply_rotary_pos_emb is usual
    assert _own_forwards(model) == 0


def test_what_has_nothing_for_a_model_is_told(model: Any) -> None:
    found = take_fast_path(situation(model), candidate(lambda _: None))
    assert found == {"another way": "there is none for this model"}


def test_what_gives_other_gradients_alone_is_found_out(model: Any) -> None:
    def change(model: Any) -> None:
        layer = model.get_decoder().layers[0].mlp
        usual = layer.forward
        # The same value, and half of the derivative.
        layer.forward = lambda hidden: usual(hidden.detach() / 2 + hidden / 2)

    found = take_fast_path(situation(model), candidate(change))
    assert "differ" in found["another way"]


def test_nothing_is_run_where_nothing_can_be_tried(
    model: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(model, "forward", lambda **_: pytest.fail("it was run"))
    with caplog.at_level(logging.INFO):
        take_fast_path(situation(model))
    assert caplog.messages == [
        "Fast path: no adapters in bf16: the run computes in fp32; no Liger kernels: no CUDA "
        "device; no torch.compile: no CUDA device."
    ]


def test_adapters_in_bf16_are_the_same_to_the_bit_with_fewer_copies(adapted: Any) -> None:
    ids = torch.randint(0, 64, (2, 24), generator=torch.Generator().manual_seed(0))

    def run() -> tuple[torch.Tensor, list[torch.Tensor], int]:
        trained = [weight for weight in adapted.parameters() if weight.requires_grad]
        with torch.autocast("cpu", torch.bfloat16), torch.profiler.profile() as seen:
            logits = adapted(input_ids=ids).logits
            gradients = torch.autograd.grad(logits.float().square().sum(), trained)
        copies = sum(one.count for one in seen.key_averages() if one.key == "aten::_to_copy")
        return logits.detach(), list(gradients), copies

    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.02)
    logits, gradients, copies = run()
    with torch.autocast("cpu", torch.bfloat16):
        found = take_fast_path(situation(adapted, bf16=True))
    assert found["adapters in bf16"] == ""
    fast_logits, fast_gradients, fewer_copies = run()
    assert torch.equal(fast_logits, logits)
    assert all(torch.equal(*pair) for pair in zip(fast_gradients, gradients, strict=True))
    assert fewer_copies < copies
    assert {weight.dtype for weight in adapted.parameters()} == {torch.float32}


def test_a_trial_leaves_weights_mode_and_random_numbers_as_they_were(adapted: Any) -> None:
    adapted.train()
    before = {name: weight.clone() for name, weight in adapted.state_dict().items()}
    state = torch.random.get_rng_state()
    take_fast_path(situation(adapted), candidate(_norms(1)))
    assert adapted.training
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(before[name], now) for name, now in adapted.state_dict().items())
    assert all(weight.grad is None for weight in adapted.parameters())
