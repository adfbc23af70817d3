"""The prediction server with vLLM, beside `vllm serve` and vLLM's own batches, in one run.

A 1B-class Llama of random weights over bytes, bf16, which ends no answer. Clients send their next
request when the last is answered. Needs a GPU and an environment with vLLM, such as that of the
image serving-gpu; ends with a message where they are not. ``--shape tiny`` tries the benchmark
itself with vLLM's build for CPUs.

Usage: ``python benchmarks/serving_gpu.py [--requests 1024] [--tokens 128] [--rounds 3]``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from common import record
from serving_load import (
    Load,
    completions_body,
    fastest,
    free_port,
    measure_each,
    our_body,
    our_server,
    prompts,
    running,
)

from kfp_llm_tuning.components.models import byte_tiny

_CLIENTS = (1, 16, 64, 256)
_PROVENANCE = {"prompt_format": "plain", "max_input_tokens": 1024, "max_output_tokens": 256}
_EOS = 2
_SHAPES: dict[str, dict[str, Any]] = {
    "llama": {  # Llama 3.2 1B, but for its vocabulary
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
    "tiny": {},
}
# Runs in a process of its own, which gives the GPU back when it ends.
_LIMIT = """
import json, sys, time
from pathlib import Path
from vllm import LLM, SamplingParams
if __name__ == "__main__":
    folder, texts, tokens, eager, result = json.loads(sys.argv[1])
    model = LLM(folder, max_model_len=2048, enforce_eager=eager)
    sampling = SamplingParams(temperature=0, max_tokens=tokens, detokenize=False)
    model.generate(texts[:64], sampling, use_tqdm=False)
    start = time.perf_counter()
    model.generate(texts, sampling, use_tqdm=False)
    Path(result).write_text(str(len(texts) / (time.perf_counter() - start)))
"""


def build(folder: Path, shape: dict[str, Any]) -> None:
    """Writes a model whose answers have no end: the score of the ending token is always 0."""
    from transformers import LlamaForCausalLM

    config = byte_tiny.build_config()
    config.update({**shape, "tie_word_embeddings": False})
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    with torch.no_grad():
        model.lm_head.weight[_EOS] = 0
    model.save_pretrained(folder)
    byte_tiny.build_tokenizer().save_pretrained(folder)
    (folder / "tuning.json").write_text(json.dumps(_PROVENANCE))


@contextmanager
def peer_server(folder: Path) -> Iterator[str]:
    """Runs `vllm serve`."""
    port = free_port()
    # What `vllm serve` runs; the command itself does not start in vLLM's build for CPUs.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)]
    command += ["--port", str(port), "--max-model-len", "2048", "--disable-log-stats"]
    command += ["--enforce-eager"] if _is_eager() else []
    with running(command, f"http://127.0.0.1:{port}/health"):
        yield f"http://127.0.0.1:{port}/v1/completions"


def limit(folder: Path, texts: list[str], tokens: int) -> float:
    """Measures what vLLM answers a second when it has all prompts from the start."""
    script, result = folder.with_name("limit.py"), folder.with_name("limit.txt")
    script.write_text(_LIMIT)
    written = [f"{text}\n" for text in texts]
    argument = json.dumps([str(folder), written, tokens, _is_eager(), str(result)])
    subprocess.run([sys.executable, str(script), argument], check=True, capture_output=True)
    return float(result.read_text())


def main() -> None:
    """Measures both servers in turns, and records the best of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=_SHAPES, default="llama")
    parser.add_argument("--requests", type=int, default=1024, help="of one round")
    parser.add_argument("--tokens", type=int, default=128, help="tokens of every answer")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if importlib.util.find_spec("vllm") is None:
        sys.exit("This benchmark needs an environment with vLLM: see constraints-vllm.txt.")
    if options.shape != "tiny" and not torch.cuda.is_available():
        sys.exit("This benchmark needs a CUDA GPU; torch sees none here.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "model"
        folder.mkdir()
        build(folder, _SHAPES[options.shape])
        _measure(folder, options)


def _measure(folder: Path, options: argparse.Namespace) -> None:
    texts = prompts(options.requests)
    bound = limit(folder, texts, options.tokens)
    ours: dict[int, list[Load]] = {clients: [] for clients in _CLIENTS}
    peer: dict[int, list[Load]] = {clients: [] for clients in _CLIENTS}
    for _ in range(options.rounds):
        with our_server(folder, "--engine", "vllm") as (url, _):
            measure_each(url, texts, our_body(options.tokens), ours)
        with peer_server(folder) as url:
            measure_each(url, texts, completions_body(str(folder), options.tokens), peer)
    for clients in _CLIENTS:
        best, other = fastest(ours[clients]), fastest(peer[clients])
        record(
            f"prediction server with vLLM, {options.shape} shape, clients: {clients}",
            ours=best.rate,
            peer=other.rate,
            limit=bound,
            unit="requests/s",
            note=(
                f"{_device()}, {len(texts)} prompts of 20 to 400 tokens, {options.tokens} tokens "
                f"each: {best.rate * options.tokens:,.0f} tokens/s; {best.latency} (peer "
                f"{other.latency}); peer: vllm serve, limit: vLLM's generate with all prompts at "
                f"once; best of {options.rounds} rounds in turns; vLLM {_version()}"
            ),
        )


def _is_eager() -> bool:
    """Tells whether our engine leaves out compiling; the others then do so too."""
    return not torch.cuda.is_available()


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"


def _version() -> str:
    import vllm

    return str(vllm.__version__)


if __name__ == "__main__":
    main()
