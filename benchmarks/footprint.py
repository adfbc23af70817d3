"""Memory and time that are predicted of a run, beside those of the tuner's own steps on this CPU.

Each shape is trained for a few steps in processes of its own, in float32 on one thread, with random
weights. Memory is the most that a process holds, less what it held before it made the model, when
a tiny one had loaded all libraries. It is measured twice: with each tensor given back to the system
as it is freed, which is what tensors take and what is predicted; and as glibc has it by itself,
whose heap keeps the gaps between tensors of less than 32 MB. Time is processor time of a step, the
least of several rounds, for neighbours slow it down; so is what is predicted of it, by the speed of
a product of matrices and of a copy in the same processes.

    python benchmarks/footprint.py

Ten minutes. Ours is what is predicted, the peer what was measured; the limit is how far measurement
may be above it: 15 % of memory, 30 % of time; of the heap nothing is promised.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
import torch
from accelerate import Accelerator
from common import record
from matrix_products import operations_a_second
from transformers import AutoConfig, AutoModelForCausalLM

from kfp_llm_tuning.components.data.encoded_set import StepBatch
from kfp_llm_tuning.components.data.token_sequence import TokenSequence
from kfp_llm_tuning.components.models.devices import Device
from kfp_llm_tuning.components.models.footprint import Method, footprint
from kfp_llm_tuning.components.models.label_only_loss import ForwardPlan
from kfp_llm_tuning.components.models.model_shapes import shape_of_config
from kfp_llm_tuning.components.models.training_time import Batch, step_time
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.torch_engine.memory import TokenBudget, peak_bytes
from kfp_llm_tuning.components.tuning.torch_engine.micro_batches import MicroBatches
from kfp_llm_tuning.components.tuning.torch_engine.trainable_model import with_adapter

_STEPS, _PASSES = 3, 2
_ROUNDS, _COPIES, _COPIED = 3, 5, 2**26
# glibc maps every larger allocation by itself, and keeps nothing of it (mallopt(3)).
_GIVEN_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536"}
MEMORY_ERROR, TIME_ERROR = 0.15, 0.30


@dataclass(frozen=True)
class Case:
    """A model with random weights, and a row that it is trained on.

    Attributes:
        model_type: Its architecture.
        hidden: Its width; heads are 64 wide, two to each key.
        feed_forward: Width of its feed-forward layers.
        layers: How many.
        tuning: "adapter" or "full".
        tokens: Of a row, all of them learned; a step has two, each a pass of its own, so that one
            pass's gradients are held beside what the other keeps.
    """

    model_type: str
    hidden: int
    feed_forward: int
    layers: int
    tuning: str
    tokens: int


CASES = {
    "llama, full, 30M": Case("llama", 512, 1536, 8, "full", 512),
    "llama, adapters, 30M": Case("llama", 512, 1536, 8, "adapter", 1024),
    "qwen3, full, 60M": Case("qwen3", 768, 2048, 8, "full", 256),
    "qwen3, adapters, 60M": Case("qwen3", 768, 2048, 8, "adapter", 512),
    "llama, full, 90M": Case("llama", 1024, 2816, 8, "full", 256),
}


@dataclass(frozen=True)
class Outcome:
    """Bytes and seconds, predicted and measured."""

    predicted_bytes: float
    bytes: float
    predicted_seconds: float
    seconds: float


def measure(case: Case) -> Outcome:
    """Trains a case in this process, whose peak must be the case's own."""
    torch.set_num_threads(1)
    _train(Case(case.model_type, 128, 128, 1, case.tuning, 16))
    before = psutil.Process().memory_info().rss
    model, times = _train(case)
    held = peak_bytes(torch.device("cpu")) - before
    device = _this_processor(model, case.tokens)
    shape = shape_of_config(_config(case))
    assert shape
    method = Method(case.tuning)
    needed = footprint(shape, method, case.tokens, cuda=False, bf16=False)
    batch = Batch(_PASSES * case.tokens, case.tokens, labels=1)
    time_of = step_time(shape, method, device, batch, recomputed=False)
    return Outcome(needed.total - needed.process, held, time_of.seconds, min(times[1:]))


def measure_apart(name: str, *, heap: bool = False) -> Outcome:
    """Measures one of the cases in a process of its own.

    Args:
        name: Of the case.
        heap: Whether glibc keeps the gaps between tensors, as it does by itself.
    """
    variables = os.environ | ({} if heap else _GIVEN_BACK)
    command = [sys.executable, __file__, name]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=variables)
    return Outcome(**json.loads(done.stdout.splitlines()[-1]))


def _config(case: Case) -> dict[str, Any]:
    return {
        "model_type": case.model_type,
        "hidden_size": case.hidden,
        "intermediate_size": case.feed_forward,
        "num_hidden_layers": case.layers,
        "num_attention_heads": case.hidden // 64,
        "num_key_value_heads": case.hidden // 128,
        "head_dim": 64,
        "vocab_size": 16_384,
        "tie_word_embeddings": True,
    }


def _train(case: Case) -> tuple[Any, list[float]]:
    """Takes a few steps; gives the model and the processor time of each."""
    values = _config(case)
    config = AutoConfig.for_model(values.pop("model_type"), **values)
    model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    if case.tuning == "adapter":
        model = with_adapter(model, TuningArguments("m", tuning=case.tuning))
    model.train()
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(trained, fused=True)
    plan = ForwardPlan(label_only=True, attention_mask=False)
    passes = MicroBatches(Accelerator(cpu=True), plan, TokenBudget(case.tokens, case.tokens))
    row = TokenSequence.of_answer(np.zeros(case.tokens + 1, np.int32), 1)
    rows = [row] * _PASSES
    step = StepBatch(rows, _PASSES * row.label_count, _PASSES * case.tokens)
    times = []
    for _ in range(_STEPS):
        began = time.process_time()
        passes.train(model, step)
        optimiser.step()
        model.zero_grad()
        times.append(time.process_time() - began)
    return model, times


def _this_processor(model: torch.nn.Module, tokens: int) -> Device:
    products = operations_a_second(model, tokens, torch.float32, time.process_time)
    source, target = torch.ones(_COPIED), torch.ones(_COPIED)
    best = float("inf")
    for _ in range(_COPIES):
        began = time.process_time()
        target.copy_(source)
        best = min(best, time.process_time() - began)
    bandwidth = 2 * source.nbytes / best
    return Device(1e12, products, products, products / 2, bandwidth, 0.0, cuda=False)


def main() -> None:
    """Measures every case in a process of its own."""
    if len(sys.argv) > 1:
        print(json.dumps(dataclasses.asdict(measure(CASES[sys.argv[1]]))))
        return
    for name in CASES:
        exact = measure_apart(name)
        rounds = [measure_apart(name, heap=True) for _ in range(_ROUNDS)]
        heap = max(one.bytes for one in rounds)
        _record("memory", name, exact.predicted_bytes / 1e9, exact.bytes / 1e9, MEMORY_ERROR)
        _record("memory, heap", name, exact.predicted_bytes / 1e9, heap / 1e9, None)
        predicted = min(one.predicted_seconds for one in rounds)
        _record("step", name, predicted, min(one.seconds for one in rounds), TIME_ERROR)


def _record(what: str, name: str, predicted: float, measured: float, error: float | None) -> None:
    kept = "with the gaps of glibc's heap; " if error is None else ""
    record(
        f"predicted {what}: {name}",
        predicted,
        measured,
        None if error is None else measured * (1 + error),
        "s" if what == "step" else "GB",
        f"{predicted / measured - 1:+.0%} of what was measured; {kept}fp32, one thread, "
        f"two passes a step, {'least' if what == 'step' else 'most'} of "
        f"{_ROUNDS if what != 'memory' else 1} rounds; the machine was shared",
    )


if __name__ == "__main__":
    main()
