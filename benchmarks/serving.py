"""The prediction server under load against `transformers serve` and batch `generate`, in one run.

The model is byte-tiny of random weights: it ends no answer, so every variant writes the same number
of tokens. Clients send their next request when the last is answered. Server, clients and model
share the machine. Rounds take turns, and the best of each counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from common import record

from kfp_llm_tuning.components.tuning import byte_tiny

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


@dataclass(frozen=True)
class Load:
    """What one round of closed-loop clients saw.

    Attributes:
        rate: Requests a second.
        median: Seconds that half of the requests took at most.
        slowest: Seconds that 99 of 100 requests took at most.
    """

    rate: float
    median: float
    slowest: float

    @property
    def latency(self) -> str:
        """The two times for a reader."""
        return f"p50 {self.median * 1000:,.0f} ms, p99 {self.slowest * 1000:,.0f} ms"


def main() -> None:
    """Runs the benchmark and records its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=192, help="of one round")
    parser.add_argument("--tokens", type=int, default=32, help="tokens of every answer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory-requests", type=int, default=10_000)
    options = parser.parse_args()
    texts = _texts(options.requests)
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
        with _ours(folder) as (url, _):
            for clients in _CLIENTS:
                ours[clients].append(_load(url, clients, texts, _our_body(options.tokens)))
        with _peer(folder, dtype) as url:
            for clients in _CLIENTS:
                body = _peer_body(folder, options.tokens)
                peer[clients].append(_load(url, clients, texts, body))
        for clients in _CLIENTS:
            rate = _generate_rate(folder, texts, options.tokens, clients, dtype)
            limit[clients].append(rate)
    for clients in _CLIENTS:
        best, other = (max(found[clients], key=lambda seen: seen.rate) for found in (ours, peer))
        bound = max(limit[clients])
        record(
            f"prediction server, {clients} clients",
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
    texts = _texts(requests)
    with _ours(folder) as (url, process):
        memory = {}
        for count in (100, requests):
            _load(url, 16, texts[:count], _our_body(2))
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


def _load(url: str, clients: int, texts: list[str], body: Callable[[str], bytes]) -> Load:
    """Sends every text once, after a few that warm up."""
    asyncio.run(_clients(url, clients, texts[: 2 * clients], body))
    start = time.perf_counter()
    seconds = sorted(asyncio.run(_clients(url, clients, texts, body)))
    rate = len(texts) / (time.perf_counter() - start)
    return Load(rate, statistics.median(seconds), seconds[int(0.99 * len(seconds))])


async def _clients(
    url: str, clients: int, texts: list[str], body: Callable[[str], bytes]
) -> list[float]:
    waiting = iter(texts)
    seconds: list[float] = []

    async def client(session: aiohttp.ClientSession) -> None:
        for text in waiting:
            start = time.perf_counter()
            async with session.post(url, data=body(text), headers=_JSON) as response:
                answer = await response.read()
                if response.status != 200:
                    raise RuntimeError(f"{response.status}: {answer!r}")
            seconds.append(time.perf_counter() - start)

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(client(session) for _ in range(clients)))
    return seconds


_JSON = {"Content-Type": "application/json"}


def _our_body(tokens: int) -> Callable[[str], bytes]:
    return lambda text: json.dumps(
        {"instances": [{"prompt": text}], "parameters": {"maxOutputTokens": tokens}}
    ).encode()


def _peer_body(folder: Path, tokens: int) -> Callable[[str], bytes]:
    return lambda text: json.dumps(
        {"model": str(folder), "prompt": f"{text}\n", "max_tokens": tokens, "temperature": 0}
    ).encode()


@contextmanager
def _ours(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    port = _free_port()
    command = [str(Path(sys.executable).with_name("kfp-llm-tuning")), "serve", str(folder)]
    with _running([*command, "--port", str(port)], f"http://127.0.0.1:{port}/health") as process:
        yield f"http://127.0.0.1:{port}/predict", process


@contextmanager
def _peer(folder: Path, dtype: str) -> Iterator[str]:
    port = _free_port()
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(folder)]
    command += ["--continuous-batching", "--dtype", dtype, "--port", str(port)]
    with _running(command, f"http://127.0.0.1:{port}/health"):
        yield f"http://127.0.0.1:{port}/v1/completions"


@contextmanager
def _running(command: list[str], health: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not _is_healthy(health):
            if process.poll() is not None:
                raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}.")
            time.sleep(0.2)
        yield process
    finally:
        process.terminate()
        process.wait(60)


def _is_healthy(health: str) -> bool:
    try:
        with urllib.request.urlopen(health) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _generate_rate(folder: Path, texts: list[str], tokens: int, batch: int, dtype: str) -> float:
    argument = json.dumps([str(folder), [f"{text}\n" for text in texts], tokens, batch, dtype])
    command = [sys.executable, "-c", _GENERATE, argument]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _served_dtype(folder: Path) -> str:
    from kfp_llm_tuning.components.generation.transformers_engine import TransformersEngine

    return TransformersEngine(folder).precision


def _texts(count: int) -> list[str]:
    generator = random.Random(0)
    return [
        "".join(chr(generator.randint(97, 122)) for _ in range(generator.randint(20, 400)))
        for _ in range(count)
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
