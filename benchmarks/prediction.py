"""Batch prediction against transformers' generate, sorted and unsorted, in one run.

The model is byte-tiny of random weights: it ends no answer, so every variant writes the same number
of tokens. Rounds take turns, and the best of each variant counts: other work on the machine slows
all of them alike or none.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Callable, Sequence

import torch
import transformers
from common import record
from transformers import GenerationConfig

from kfp_llm_tuning.components.generation.batches import BATCH_SIZE
from kfp_llm_tuning.components.generation.engine import GenerationRequest
from kfp_llm_tuning.components.generation.transformers_engine import TransformersEngine
from kfp_llm_tuning.components.tuning.base_models import materialise
from kfp_llm_tuning.components.tuning.model_references import resolve

_EOS = 2


def main() -> None:
    """Runs the benchmark and records its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=16, help="tokens of every answer")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    engine = TransformersEngine(materialise(resolve("byte-tiny")))
    prompts = _prompts(options.prompts)
    requests = [GenerationRequest(prompt, options.tokens, [_EOS]) for prompt in prompts]
    variants: dict[str, Callable[[], list[str]]] = {
        "ours": lambda: engine.decode(
            [found.tokens for found in engine.generate(requests)]
        ),
        "sorted": lambda: _generate(engine, sorted(prompts, key=len), options.tokens),
        "unsorted": lambda: _generate(engine, prompts, options.tokens),
    }
    best = {name: float("inf") for name in variants}
    for _ in range(options.rounds):
        for name, run in variants.items():
            start = time.perf_counter()
            answers = run()
            best[name] = min(best[name], time.perf_counter() - start)
            assert len(answers) == len(prompts)
    rate = {name: len(prompts) / seconds for name, seconds in best.items()}
    record(
        "batch prediction",
        ours=rate["ours"],
        peer=rate["unsorted"],
        limit=rate["sorted"],
        unit="prompts/s",
        note=(
            f"byte-tiny, {engine.precision}, {len(prompts)} prompts of 20 to 400 tokens, "
            f"{options.tokens} tokens each, batches of {BATCH_SIZE}, {torch.get_num_threads()} "
            f"threads; peer: generate unsorted, limit: generate sorted by length; transformers "
            f"{transformers.__version__}; ours / sorted = {rate['ours'] / rate['sorted']:.3f}; "
            f"best of {options.rounds} rounds in turns; load average before it {load:.1f}"
        ),
    )


def _prompts(count: int) -> list[list[int]]:
    generator = random.Random(0)
    lengths = [generator.randint(20, 400) for _ in range(count)]
    return [[generator.randint(3, 258) for _ in range(length)] for length in lengths]


@torch.inference_mode()
def _generate(
    engine: TransformersEngine, prompts: Sequence[Sequence[int]], tokens: int
) -> list[str]:
    """Calls generate in batches of the given order, as its documentation shows."""
    config = GenerationConfig(
        do_sample=False, max_new_tokens=tokens, eos_token_id=_EOS, pad_token_id=0
    )
    answers: list[str] = []
    for start in range(0, len(prompts), BATCH_SIZE):
        rows = prompts[start : start + BATCH_SIZE]
        width = max(map(len, rows))
        ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in rows])
        output = engine.model.generate(
            input_ids=ids, attention_mask=(ids != 0).long(), generation_config=config
        )
        answers += engine.tokenizer.batch_decode(output[:, width:], skip_special_tokens=True)
    return answers


if __name__ == "__main__":
    main()
