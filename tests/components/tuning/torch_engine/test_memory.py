from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from kfp_llm_tuning.components.data.token_layouts import PaddedRows
from kfp_llm_tuning.components.data.token_sequence import TokenSequence
from kfp_llm_tuning.components.models.label_only_loss import ForwardPlan
from kfp_llm_tuning.components.models.token_batch import TokenBatch
from kfp_llm_tuning.components.tuning.torch_engine import memory
from kfp_llm_tuning.components.tuning.torch_engine.memory import PassMemory

CPU = torch.device("cpu")


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(100))
        self.frozen = torch.nn.Parameter(torch.zeros(1000), requires_grad=False)


def test_only_trained_weights_have_gradients_and_moments() -> None:
    assert memory.training_bytes(Model()) == 100 * 4 * 3


NEEDS = PassMemory(fixed=1000.0, layers=120.0, layer_count=12, hidden=2.0, logits=5.0)


def test_recomputed_layers_keep_what_goes_into_them() -> None:
    assert NEEDS.token() == 125
    assert NEEDS.token(4) == 125 - 3 * (10 - 2) + 10
    assert NEEDS.token(1) == 12 * 2 + 5 + 10
    assert NEEDS.evaluated_token < NEEDS.token(1)


@pytest.mark.parametrize(
    ("wanted", "every"), [(10, 0), (64, 0), (65, 4), (76, 3), (90, 2), (120, 1), (1000, 1)]
)
def test_no_more_layers_are_recomputed_than_it_takes(wanted: int, every: int) -> None:
    budget = memory.fitting_budget(NEEDS, (8000 + NEEDS.fixed) / 0.8, wanted=wanted)
    assert budget.recomputed_every == every
    assert budget.training == int(8000 // NEEDS.token(every))
    assert budget.evaluation == int(8000 // NEEDS.evaluated_token)


def test_without_room_one_token_is_tried() -> None:
    budget = memory.fitting_budget(NEEDS, -5.0, wanted=100)
    assert (budget.training, budget.evaluation, budget.recomputed_every) == (1, 1, 1)


def test_what_a_pass_keeps_grows_with_its_tokens(tiny_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    layout, drawn = PaddedRows(), torch.get_rng_state()

    def measure(label_only: bool) -> PassMemory:
        plan = ForwardPlan(label_only, attention_mask=False)

        def batch(tokens: int) -> TokenBatch:
            ids = np.ones(tokens + 1, dtype=np.int32)
            return layout.collate([TokenSequence.of_answer(ids, tokens)])

        return memory.measure_pass(model, plan, batch, bytes_per_value=4)

    needs, config = measure(label_only=True), model.config
    # At least the inputs of a layer's seven products are kept.
    width = 5 * config.hidden_size + config.intermediate_size
    assert needs.layers > config.num_hidden_layers * width * 4
    assert needs.layers < config.num_hidden_layers * 10 * width * 4
    assert needs.logits == 0
    assert measure(label_only=False).logits == config.vocab_size * 12
    assert torch.equal(torch.get_rng_state(), drawn)


def test_memory_of_this_machine_is_measured() -> None:
    assert memory.available_bytes(CPU) > 0
    assert memory.peak_bytes(CPU) > 10 * 2**20
