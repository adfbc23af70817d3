"""Memory of each process that shares a model: parameter state, and what loading takes.

A Llama of random weights in bf16 is loaded for full tuning by 1, 2 and 4 processes over gloo, and
takes a step of AdamW. The peer is one process, which shares nothing; the limit is its share of
that. Loading counts memory that is the process's own: pages of the checkpoint's files belong to
the kernel's cache, which takes them back when it likes.

    python benchmarks/sharding.py
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import torch
from common import record
from transformers import LlamaConfig, LlamaForCausalLM

from kfp_llm_tuning.components.models.sharded_model import shard_of
from kfp_llm_tuning.components.tuning import processes
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.torch_engine.trainable_model import load_trainable

_COUNTS = (1, 2, 4)
_MIB = 2**20


def _own_bytes() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status names no RssAnon: this needs Linux.")


class _Peak:
    """Watches this process's own memory while a block runs."""

    def __enter__(self) -> _Peak:
        self._ended = threading.Event()
        self._begin = self._most = _own_bytes()
        self._watch = threading.Thread(target=self._look)
        self._watch.start()
        return self

    def _look(self) -> None:
        while not self._ended.wait(0.002):
            self._most = max(self._most, _own_bytes())

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watch.join()

    @property
    def growth(self) -> int:
        """Bytes above the beginning."""
        return self._most - self._begin


def _measure(model: Path, results: Path) -> None:
    """Loads, takes a step, and writes this process's figures."""
    processes.join()
    asked = TuningArguments(model_reference=str(model), tuning="full")
    with _Peak() as peak:
        sharded = processes.count() > 1
        loaded = load_trainable(model, asked, bf16=False, sharded=sharded).model
    weights = list(loaded.parameters())
    optimizer = torch.optim.AdamW(weights, lr=1e-3, fused=True)
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    state: list[torch.Tensor] = [*weights, *(w.grad for w in weights if w.grad is not None)]
    state += [one for of in optimizer.state.values() for one in of.values()]
    figures = {"loading": peak.growth, "state": sum(shard_of(t.detach()).nbytes for t in state)}
    (results / f"{processes.index()}.json").write_text(json.dumps(figures), encoding="utf-8")
    if sharded:
        torch.distributed.destroy_process_group()


def _largest(model: Path, count: int) -> dict[str, float]:
    """Measures with so many processes; gives the largest figures of any."""
    with tempfile.TemporaryDirectory() as folder:
        launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(count)]
        worker = [str(Path(__file__)), "--model", str(model), "--results", folder]
        subprocess.run([sys.executable, *launcher, *worker], check=True)
        found: list[dict[str, Any]] = [json.loads(p.read_text()) for p in Path(folder).iterdir()]
    return {name: max(one[name] for one in found) / _MIB for name in found[0]}


def _build(folder: Path) -> None:
    config = LlamaConfig(
        vocab_size=32_000,
        hidden_size=512,
        intermediate_size=1408,
        num_hidden_layers=16,
        num_attention_heads=8,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)


def main() -> None:
    """Measures, and records two rows for each number of processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--results", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.results:
        _measure(options.model, options.results)
        return
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        _build(model)
        found = {count: _largest(model, count) for count in _COUNTS}
    titles = {"state": "weights, gradients and AdamW", "loading": "loading, the process's own peak"}
    whole = found[1]
    for count, figures in found.items():
        for name, value in figures.items():
            note = "84M weights, bf16 files, fp32 masters, gloo; the largest of the processes"
            title = f"sharding, {titles[name]}, processes: {count}"
            record(title, value, whole[name], whole[name] / count, "MiB a process", note)


if __name__ == "__main__":
    main()
