"""What a step asks of its device, told by torch's dispatcher on the device "meta".

Tensors there have shapes and types alone: whatever would wait for a device to tell a number - an
``.item()``, a boolean index, a copy back - is refused by torch itself.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForCausalLM, LlamaConfig

from kfp_llm_tuning.components.data.encoded_set import StepBatch
from kfp_llm_tuning.components.data.token_sequence import TokenSequence
from kfp_llm_tuning.components.models.document_attention import kernels_of, register
from kfp_llm_tuning.components.models.label_only_loss import ForwardPlan
from kfp_llm_tuning.components.tuning.torch_engine.memory import TokenBudget
from kfp_llm_tuning.components.tuning.torch_engine.micro_batches import MicroBatches

DEVICE = torch.device("meta")
PLAN = ForwardPlan(label_only=True, attention_mask=False, packed=True)
WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "unique")
# They start no work on the device.
FREE = {
    *("alias", "detach", "empty", "empty_like", "expand", "permute", "select", "slice", "split"),
    *("split_with_sizes", "squeeze", "t", "transpose", "unsqueeze", "view", "_unsafe_view"),
}


class Operations(TorchDispatchMode):
    """Counts what is dispatched, and what goes from one device to another."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.transfers = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = function.overloadpacket.__name__
        result = function(*args, **(kwargs or {}))
        tensors = [one for one in args if isinstance(one, torch.Tensor)]
        devices = {one.device.type for one in tensors}
        if isinstance(result, torch.Tensor) and devices == {"cpu"} and result.device == DEVICE:
            self.transfers += 1
        elif DEVICE.type in devices and name not in FREE:
            self.counts[name] += 1
        return result


def accelerator(device: torch.device = DEVICE) -> Any:
    return SimpleNamespace(
        device=device,
        num_processes=1,
        process_index=0,
        no_sync=lambda model: contextlib.nullcontext(),
        autocast=contextlib.nullcontext,
        backward=lambda loss: loss.backward(),
    )


def meta_llama(*, lora: bool) -> Any:
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    with DEVICE:
        model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        makers = kernels_of(torch.device("cuda"))
        varlen = "torch's variable-length attention"
        model.set_attn_implementation(register(varlen, makers[varlen]()))
        if lora:
            return get_peft_model(model, LoraConfig(target_modules="all-linear"))
    return model


def step_of(lengths: list[int]) -> StepBatch:
    sequences = [
        TokenSequence.of_answer(np.arange(1, length + 1, dtype=np.int32), 2) for length in lengths
    ]
    labels = sum(sequence.label_count for sequence in sequences)
    return StepBatch(sequences, labels, sum(lengths))


# Operations of one micro batch of two layers: a change that makes them more must have a reason.
@pytest.mark.parametrize(("lora", "expected"), [(False, 279), (True, 431)], ids=["full", "lora"])
def test_a_micro_batch_waits_for_nothing(lora: bool, expected: int) -> None:
    model = meta_llama(lora=lora)
    micro_batches = MicroBatches(accelerator(), PLAN, TokenBudget(64, 64))
    with Operations() as operations:
        sums = micro_batches.train(model, step_of([20, 9, 14]))
    assert sums.device == DEVICE
    assert operations.transfers == 1
    assert not [name for name in operations.counts if name.startswith(WAITS)]
    assert operations.counts.total() == expected, operations.counts
    with Operations() as operations:
        micro_batches.train(model, step_of([60, 50, 14]))
    assert operations.transfers == 2


def test_what_would_wait_is_refused_on_this_device() -> None:
    model = meta_llama(lora=False)
    model.set_attn_implementation("sdpa")  # transformers looks for documents on the device.
    micro_batches = MicroBatches(accelerator(), PLAN, TokenBudget(64, 64))
    with pytest.raises(RuntimeError, match="meta tensors"):
        micro_batches.train(model, step_of([20, 9, 14]))
