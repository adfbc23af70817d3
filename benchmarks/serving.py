"""The prediction server under load against `transformers serve` and batch `generate`, in one run.

The model is byte-tiny of random weights, which ends no answer, or a pretrained chat model given by
``--model``, which ends its answers where it likes: the likeliest tokens are the same ones in every
variant. Clients send their next request when the last is answered. Server, clients and model
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
    chat_body,
    completions_body,
    fastest,
    free_port,
    measure,
    measure_each,
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
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
folder, texts, tokens, batch, dtype = json.load(sys.stdin)
tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
config = GenerationConfig(
    do_sample=False,
    max_new_tokens=tokens,
    eos_token_id=tokenizer.eos_token_id,
    pad_token_id=tokenizer.pad_token_id,
)
def inputs(texts):
    if tokenizer.chat_template:
        chats = [[{"role": "user", "content": text}] for text in texts]
        return tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        )
    lines = [text + chr(10) for text in texts]
    return tokenizer(lines, padding=True, return_tensors="pt", return_token_type_ids=False)
with torch.inference_mode():
    for round in range(2):  # the first warms up
        start = time.perf_counter()
        for at in range(0, len(texts), batch):
            model.generate(**inputs(texts[at : at + batch]), generation_config=config)
        seconds = time.perf_counter() - start
print(len(texts) / seconds)
"""


def main() -> None:
    """Runs the benchmark and records its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=192, help="of one round")
    parser.add_argument("--tokens", type=int, default=32, help="tokens of every answer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory-requests", type=int, default=10_000, help="0 for none")
    parser.add_argument("--model", type=Path, help="a pretrained chat model's folder")
    options = parser.parse_args()
    texts = prompts(options.requests)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = options.model or _byte_tiny(Path(name) / "byte-tiny")
        _speed(folder, texts, options, load)
        if options.memory_requests:
            _memory(folder, options.memory_requests)


def _byte_tiny(folder: Path) -> Path:
    folder.mkdir()
    byte_tiny.build(folder)
    (folder / "tuning.json").write_text(json.dumps(_PROVENANCE))
    return folder


def _speed(folder: Path, texts: list[str], options: argparse.Namespace, load: float) -> None:
    dtype = _served_dtype(folder)
    ours: dict[int, list[Load]] = {clients: [] for clients in _CLIENTS}
    peer: dict[int, list[Load]] = {clients: [] for clients in _CLIENTS}
    limit: dict[int, list[float]] = {clients: [] for clients in _CLIENTS}
    for _ in range(options.rounds):
        with our_server(folder) as (url, _):
            measure_each(url, texts, our_body(options.tokens), ours)
        route = "chat/completions" if options.model else "completions"
        make_body = chat_body if options.model else completions_body
        with _peer(folder, dtype) as url:
            measure_each(f"{url}/{route}", texts, make_body(str(folder), options.tokens), peer)
        for clients in _CLIENTS:
            rate = _generate_rate(folder, texts, options.tokens, clients, dtype)
            limit[clients].append(rate)
    for clients in _CLIENTS:
        best, other = fastest(ours[clients]), fastest(peer[clients])
        bound = max(limit[clients])
        record(
            f"prediction server, clients: {clients}",
            ours=best.rate,
            peer=other.rate,
            limit=bound,
            unit="requests/s",
            note=(
                f"{folder.name}, {dtype}, {len(texts)} prompts of 20 to 400 letters, at most "
                f"{options.tokens} tokens each; {best.latency} (peer "
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
        yield f"http://127.0.0.1:{port}/v1"


def _generate_rate(folder: Path, texts: list[str], tokens: int, batch: int, dtype: str) -> float:
    asked = json.dumps([str(folder), texts, tokens, batch, dtype])
    command = [sys.executable, "-c", _GENERATE]
    done = subprocess.run(command, input=asked, check=True, capture_output=True, text=True)
    return float(done.stdout)


def _served_dtype(folder: Path) -> str:
    from kfp_llm_tuning.components.generation.transformers_engine import TransformersEngine

    return TransformersEngine(folder).precision


if __name__ == "__main__":
    main()
