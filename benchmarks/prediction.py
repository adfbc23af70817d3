"""Batch prediction, and requests that callers submit, against transformers' generate, in one run.

The model is byte-tiny of random weights, or a pretrained one given by ``--model``. No token ends an
answer, so every variant writes the same number of tokens. Rounds take turns, and the best of each
variant counts: other work on the machine slows all of them alike or none.
"""

from __future__ import annotations

import argparse
import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import transformers
from common import record
from matrix_products import operations_a_second, operations_of_answers
from transformers import GenerationConfig

from kfp_llm_tuning.components.generation.batches import BATCH_SIZE
from kfp_llm_tuning.components.generation.engine import GenerationRequest, TokenLogprobs
from kfp_llm_tuning.components.generation.transformers_engine import TransformersEngine
from kfp_llm_tuning.components.models.base_models import materialise
from kfp_llm_tuning.components.models.model_references import resolve

_CALLERS = 16


def main() -> None:
    """Runs the benchmarks and records their figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=16, help="tokens of every answer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="byte-tiny", help="a pretrained model's folder")
    options = parser.parse_args()
    engine = TransformersEngine(materialise(resolve(options.model)))
    engine.model.generation_config.eos_token_id = None
    _measure_batch(engine, options)
    for tokens in (options.tokens, 4 * options.tokens):
        _measure_submitted(engine, options, tokens)
    engine.close()


def _measure_batch(engine: TransformersEngine, options: argparse.Namespace) -> None:
    prompts = _prompts(engine, options.prompts, 400)
    requests = [GenerationRequest(prompt, options.tokens, []) for prompt in prompts]
    load = os.getloadavg()[0]
    rate = _best_rates(
        {
            "ours": lambda: engine.decode([found.tokens for found in engine.generate(requests)]),
            "sorted": lambda: _generate(
                engine, sorted(prompts, key=len), options.tokens, BATCH_SIZE
            ),
            "unsorted": lambda: _generate(engine, prompts, options.tokens, BATCH_SIZE),
        },
        len(prompts),
        options.rounds,
    )
    rate["products"] = _rate_of_products_alone(engine, prompts, options.tokens)
    for limit, what in (("sorted", "generate sorted by length"), ("products", "products alone")):
        record(
            f"batch prediction, limit {what}",
            ours=rate["ours"],
            peer=rate["unsorted"],
            limit=rate[limit],
            unit="prompts/s",
            note=(
                f"{_name(options)}, {engine.precision}, {len(prompts)} prompts of 20 to 400 "
                f"tokens, {options.tokens} tokens each, batches of {BATCH_SIZE}; peer: generate "
                f"unsorted; ours / limit = {rate['ours'] / rate[limit]:.3f}, ours / peer = "
                f"{rate['ours'] / rate['unsorted']:.3f}; {_circumstances(options.rounds, load)}"
            ),
        )


def _rate_of_products_alone(
    engine: TransformersEngine, prompts: Sequence[Sequence[int]], tokens: int
) -> float:
    """Prompts a second, if each token went through the layers at the rate of one product."""
    answer_tokens = len(prompts) * tokens
    needed = operations_of_answers(engine.model, sum(map(len, prompts)), answer_tokens)
    rows = BATCH_SIZE * sum(map(len, prompts)) // len(prompts)
    rate = operations_a_second(engine.model, rows, getattr(torch, engine.precision))
    return len(prompts) * rate / needed


def _name(options: argparse.Namespace) -> str:
    return Path(options.model).name


def _measure_submitted(
    engine: TransformersEngine, options: argparse.Namespace, tokens: int
) -> None:
    prompts = _prompts(engine, options.prompts, 200)
    load = os.getloadavg()[0]
    rate = _best_rates(
        {
            "ours": lambda: _submit(engine, prompts, tokens),
            "sorted": lambda: _generate(engine, sorted(prompts, key=len), tokens, _CALLERS),
            "unsorted": lambda: _generate(engine, prompts, tokens, _CALLERS),
        },
        len(prompts),
        options.rounds,
    )
    record(
        "submitted requests",
        ours=rate["ours"],
        peer=rate["unsorted"],
        limit=rate["sorted"],
        unit="prompts/s",
        note=(
            f"{_name(options)}, {engine.precision}, {len(prompts)} prompts of 20 to 200 tokens, "
            f"{tokens} tokens each, from {_CALLERS} callers that wait for each answer; peer: "
            f"generate in batches of {_CALLERS}, limit: the same sorted by length; ours / peer = "
            f"{rate['ours'] / rate['unsorted']:.3f}; {_circumstances(options.rounds, load)}"
        ),
    )


def _best_rates(
    variants: dict[str, Callable[[], list[str]]], count: int, rounds: int
) -> dict[str, float]:
    best = {name: float("inf") for name in variants}
    for _ in range(rounds):
        for name, run in variants.items():
            start = time.perf_counter()
            answers = run()
            best[name] = min(best[name], time.perf_counter() - start)
            assert len(answers) == count
    return {name: count / seconds for name, seconds in best.items()}


def _circumstances(rounds: int, load: float) -> str:
    return (
        f"{torch.get_num_threads()} threads; transformers {transformers.__version__}; best of "
        f"{rounds} rounds in turns; load average before it {load:.1f}"
    )


def _prompts(engine: TransformersEngine, count: int, longest: int) -> list[list[int]]:
    generator = random.Random(0)
    lengths = [generator.randint(20, longest) for _ in range(count)]
    most = len(engine.tokenizer) - 1
    return [[generator.randint(3, most) for _ in range(length)] for length in lengths]


@torch.inference_mode()
def _generate(
    engine: TransformersEngine, prompts: Sequence[Sequence[int]], tokens: int, batch: int
) -> list[str]:
    """Calls generate in batches of the given order, as its documentation shows."""
    config = GenerationConfig(do_sample=False, max_new_tokens=tokens, pad_token_id=0)
    answers: list[str] = []
    for start in range(0, len(prompts), batch):
        rows = prompts[start : start + batch]
        width = max(map(len, rows))
        ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in rows])
        output = engine.model.generate(
            input_ids=ids, attention_mask=(ids != 0).long(), generation_config=config
        )
        answers += engine.tokenizer.batch_decode(output[:, width:], skip_special_tokens=True)
    return answers


class _Waiting:
    """Waits for one answer."""

    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._ended = threading.Event()

    def on_token(self, token: int, logprobs: TokenLogprobs | None) -> None:
        self._tokens.append(token)

    def on_end(self, finished: bool) -> None:
        self._ended.set()

    def on_error(self, error: Exception) -> None:
        raise error

    def tokens(self) -> list[int]:
        self._ended.wait()
        return self._tokens


def _submit(engine: TransformersEngine, prompts: Sequence[Sequence[int]], tokens: int) -> list[str]:
    """Lets callers submit one prompt after the other, each when its last is answered."""
    left = iter(prompts)
    taking = threading.Lock()
    answers: list[str] = []

    def call() -> None:
        while True:
            with taking:
                prompt = next(left, None)
            if prompt is None:
                return
            waiting = _Waiting()
            engine.submit(GenerationRequest(prompt, tokens, []), waiting)
            answers.extend(engine.decode([waiting.tokens()]))

    callers = [threading.Thread(target=call) for _ in range(_CALLERS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return answers


if __name__ == "__main__":
    main()
