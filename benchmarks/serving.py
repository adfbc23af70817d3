"""The prediction server under load against `transformers serve` and batch `generate`, in one run.

The model is byte-tiny of random weights: it ends no answer, so every variant writes the same number
of tokens. Clients send their next request when the last is answered. Server, clients and model
share the machine. Rounds take turns, and the best of each counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from common import record
from serving_load import (
    Load,
    completions_body,
    free_port,
    measure,
    our_body,
    our_server,
    prompts,
    running,
)

from kfp_llm_tuning.components.models import byte_tiny

_CLIENTS = (1, 4, 16)
_PROVENANCE = {"prompt_format": "plain", "max_input_tokens": 1024, "max_output_tokens": 256}
# Runs in a process of its own, so that nothing of it stays in this one.
_GENERATE = """
import json, sys, time
import torch
from transformers import AutoModelForCausalLM, GenerationConfig
folder, texts, tokens, batch, dtype = json.loads(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
config = GenerationConfig(do_sample=False, max_new_tokens=tokens, eos_token_id=2, pad_token_id=0)
prompts = [[1] + [byte + 3 for byte in text.encode()] for text in texts]
with torch.inference_mode():
    for round in range(2):  # the first warms up
        start = time.perf_counter()
        for at in range(0, len(prompts), batch):
            rows = prompts[at : at + batch]
            width = max(map(len, rows))
            ids = torch.tensor([[0] * (width - len(row)) + row for row in rows])
            model.generate(
                input_ids=ids, attention_mask=(ids != 0).long(), generation_config=config
            )
        seconds = time.perf_counter() - start
print(len(prompts) / seconds)
"""


def main() -> None:
    """Runs the benchmark and records its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=192, help="of one round")
    parser.add_argument("--tokens", type=int, default=32, help="tokens of every answer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory-requests", type=int, default=10_000)
    options = parser.parse_args()
    texts = prompts(options.requests)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        byte_tiny.build(folder)
        (folder / "tuning.json").write_text(json.dumps(_PROVENANCE))
        _speed(folder, texts, options, load)
        _memory(folder, options.memory_requests)


def _speed(folder: Path, texts: list[str], options: argparse.Namespace, load: float) -> None:
    dtype = _served_dtype(folder)
    ours: dict[int, list[Load]] = {clients: [] for clients in _CLIENTS}
    peer: dict[int, list[Load]] = {clients: [] for clients in _CLIENTS}
    limit: dict[int, list[float]] = {clients: [] for clients in _CLIENTS}
    for _ in range(options.rounds):
        with our_server(folder) as (url, _):
            for clients in _CLIENTS:
                ours[clients].append(measure(url, clients, texts, our_body(options.tokens)))
        with _peer(folder, dtype) as url:
            for clients in _CLIENTS:
                body = completions_body(str(folder), options.tokens)
                peer[clients].append(measure(url, clients, texts, body))
        for clients in _CLIENTS:
            rate = _generate_rate(folder, texts, options.tokens, clients, dtype)
            limit[clients].append(rate)
    for clients in _CLIENTS:
        best, other = (max(found[clients], key=lambda seen: seen.rate) for found in (ours, peer))
        bound = max(limit[clients])
        record(
            f"prediction server, clients: {clients}",
            ours=best.rate,
            peer=other.rate,
            limit=bound,
            unit="requests/s",
            note=(
                f"byte-tiny, {dtype}, {len(texts)} prompts of 20 to 400 tokens, {options.tokens} "
                f"tokens each: {best.rate * options.tokens:,.0f} tokens/s; {best.latency} (peer "
                f"{other.latency}); peer: transformers serve --continuous-batching, limit: "
                f"generate in batches of {clients}; ours / limit = {best.rate / bound:.2f}; best "
                f"of {options.rounds} rounds in turns; load average before it {load:.1f}"
            ),
        )


def _memory(folder: Path, requests: int) -> None:
    texts = prompts(requests)
    with our_server(folder) as (url, process):
        memory = {}
        for count in (100, requests):
            measure(url, 16, texts[:count], our_body(2))
            memory[count] = psutil.Process(process.pid).memory_info().rss / 2**20
    record(
        f"prediction server, memory after {requests:,} requests",
        ours=memory[requests],
        peer=None,
        limit=memory[100],
        unit="MiB",
        note=f"resident memory; limit: after 100 requests; 16 clients, 2 tokens each; "
        f"{memory[requests] / memory[100]:.3f} of it",
    )


@contextmanager
def _peer(folder: Path, dtype: str) -> Iterator[str]:
    port = free_port()
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(folder)]
    command += ["--continuous-batching", "--dtype", dtype, "--port", str(port)]
    with running(command, f"http://127.0.0.1:{port}/health"):
        yield f"http://127.0.0.1:{port}/v1/completions"


def _generate_rate(folder: Path, texts: list[str], tokens: int, batch: int, dtype: str) -> float:
    argument = json.dumps([str(folder), [f"{text}\n" for text in texts], tokens, batch, dtype])
    command = [sys.executable, "-c", _GENERATE, argument]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _served_dtype(folder: Path) -> str:
    from kfp_llm_tuning.components.generation.transformers_engine import TransformersEngine

    return TransformersEngine(folder).precision


if __name__ == "__main__":
    main()
