from __future__ import annotations

import math

import pytest
import torch

from kfp_llm_tuning.components.tuning.torch_engine.trained_weights import (
    largest_weight,
    weights_to_save,
)


def test_of_adapters_only_what_is_trained_is_saved() -> None:
    model = torch.nn.ModuleDict({"base": torch.nn.Linear(2, 2), "lora": torch.nn.Linear(2, 1)})
    model["base"].requires_grad_(False)
    assert weights_to_save(model).keys() == model.state_dict().keys()
    model.peft_config = {}
    assert weights_to_save(model).keys() == {"lora.weight", "lora.bias"}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_trained_weight_that_is_no_number_shows(value: float) -> None:
    model = torch.nn.Linear(2, 2)
    assert largest_weight(model) == max(float(p.abs().max()) for p in model.parameters())
    with torch.no_grad():
        model.weight[0, 1] = value
    assert not math.isfinite(largest_weight(model))
