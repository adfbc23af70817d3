from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kfp_llm_tuning.components.tuning import memory

CPU = torch.device("cpu")
CONFIG = SimpleNamespace(
    hidden_size=64, intermediate_size=128, num_hidden_layers=2, vocab_size=1000
)


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(100))
        self.frozen = torch.nn.Parameter(torch.zeros(1000), requires_grad=False)
        self.config: Any = SimpleNamespace(get_text_config=lambda: CONFIG)


def test_only_trained_weights_have_gradients_and_moments() -> None:
    assert memory.training_bytes(Model()) == 100 * 4 * 3


def test_examples_grow_with_length_and_shrink_with_recomputation() -> None:
    short = memory.example_bytes(CONFIG, 10, bytes_per_value=2)
    assert memory.example_bytes(CONFIG, 20, bytes_per_value=2) == 2 * short
    assert memory.example_bytes(CONFIG, 10, bytes_per_value=2, checkpointing=True) < short


@pytest.mark.parametrize(("free_examples", "expected"), [(100.0, 8), (3.5, 3), (0.5, 0)])
def test_what_fits_is_what_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch, free_examples: float, expected: int
) -> None:
    one = memory.example_bytes(CONFIG, 10, bytes_per_value=4)
    free = (free_examples * one + memory.training_bytes(Model())) / 0.8
    monkeypatch.setattr(memory, "available_bytes", lambda device: free)
    assert memory.fitting_examples(Model(), CPU, length=10, most=8, bytes_per_value=4) == expected


def test_memory_of_this_machine_is_measured() -> None:
    assert memory.available_bytes(CPU) > 0
    assert memory.peak_bytes(CPU) > 10 * 2**20
