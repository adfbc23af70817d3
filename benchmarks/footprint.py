"""Memory and time that are predicted of a run, beside those of the tuner's own steps on this CPU.

Each shape is trained for a few steps in a process of its own, in float32 on one thread, with random
weights. Memory is the most that the process holds, less what it held before it made the model, when
a tiny one had loaded all libraries; time is processor time of a step, the median of several. The
processor's speed is measured in the same process: of a product of matrices, and of a copy, which
neighbours slow down.

    python benchmarks/footprint.py

Two minutes. Ours is what is predicted, the peer what was measured; the limit is how far measurement
may be above it: 15 % of memory, 30 % of time.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
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

_STEPS = 3
_COPIED = 2**26
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
        tokens: Of a step's one row, a quarter of them learned.
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
    time_of = step_time(shape, method, device, Batch(case.tokens, case.tokens), recomputed=False)
    return Outcome(
        needed.total - needed.process, held, time_of.seconds, statistics.median(times[1:])
    )


def measure_apart(name: str) -> Outcome:
    """Measures one of the cases in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, name], check=True, capture_output=True, text=True
    )
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
    passes = MicroBatches(Accelerator(cpu=True), plan, TokenBudget(2048, 2048))
    row = TokenSequence.of_answer(np.zeros(case.tokens + 1, np.int32), case.tokens * 3 // 4)
    step = StepBatch([row], row.label_count, case.tokens)
    times = []
    for _ in range(_STEPS):
        began = time.process_time()
        passes.train(model, step)
        optimiser.step()
        model.zero_grad()
        times.append(time.process_time() - began)
    return model, times


def _this_processor(model: torch.nn.Module, tokens: int) -> Device:
    products = operations_a_second(model, tokens, torch.float32)
    source, target = torch.ones(_COPIED), torch.ones(_COPIED)
    began = time.perf_counter()
    target.copy_(source)
    bandwidth = 2 * 4 * _COPIED / (time.perf_counter() - began)
    return Device(1e12, products, products, products / 2, bandwidth, 0.0, cuda=False)


def main() -> None:
    """Measures every case in a process of its own."""
    if len(sys.argv) > 1:
        print(json.dumps(dataclasses.asdict(measure(CASES[sys.argv[1]]))))
        return
    for name in CASES:
        found = measure_apart(name)
        for what, predicted, measured, error, unit in (
            ("memory", found.predicted_bytes / 1e9, found.bytes / 1e9, MEMORY_ERROR, "GB"),
            ("step", found.predicted_seconds, found.seconds, TIME_ERROR, "s"),
        ):
            record(
                f"predicted {what}: {name}",
                predicted,
                measured,
                measured * (1 + error),
                unit,
                f"{predicted / measured - 1:+.0%} of what was measured; fp32, one thread",
            )


if __name__ == "__main__":
    main()
