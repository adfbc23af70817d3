"""Tuner tokens/s on CPU against raw forward+backward, transformers.Trainer and TRL SFTTrainer.

All in one run, on the same rows and the same model: a Llama of 8.5M parameters (at a vocabulary of
4k), or a pretrained model given by ``--model``, with LoRA adapters and in full. Steps are of 8
rows, as long as those of real datasets: short answers (4 of 66 tokens are labels), long ones (130
of 223), conversations of nine answers (162 of 362), all of which are learned by everyone.

The limit of every row is raw: forward and backward passes alone, with logits where there are
labels and nowhere else, which nothing can exceed that trains the model; it has no optimiser, and no
metrics. "raw with AdamW" is the same with an optimiser, the least that a step is made of; the
others do all that a step needs, saving excepted. Contenders take turns, and the best round counts,
as other work only ever slows one down; the last row is measured beside another program that keeps
a core busy.

Usage: ``python benchmarks/tuner.py [--tokens 16000] [--rounds 2] [--model FOLDER]``. Needs trl
besides the package with its tuning extra.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
import transformers
from common import record
from datasets import disable_progress_bars
from neighbours import busy
from tuner_contenders import CONTENDERS, OURS, PEERS, RAW
from tuner_setting import BATCH, Setting, pretrained, small_llama
from tuner_texts import TEXTS, Texts

from kfp_llm_tuning.components.common.processors import prepare_to_compute
from kfp_llm_tuning.components.models.precision import has_fast_bf16


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences what the libraries say while they are timed."""
    logging.disable(logging.WARNING)
    transformers.logging.set_verbosity_error()
    disable_progress_bars()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


def measure(setting: Setting, rounds: int, neighbours: int) -> None:
    """Times all contenders and records them, one row a peer."""
    best = dict.fromkeys(CONTENDERS, 0.0)
    beside = f", beside {neighbours} busy programs" if neighbours else ""
    with quiet(), busy(neighbours):
        setting.write()
        for _ in range(rounds):
            for name, contender in CONTENDERS.items():
                best[name] = max(best[name], contender(setting))
                print(f"{setting.title}{beside}: {name} {best[name]:,.0f} tok/s", flush=True)
    kind = "bf16" if has_fast_bf16() else "fp32"
    note = (
        f"{kind}, {torch.get_num_threads()} threads, steps of {BATCH} x {setting.texts.tokens} "
        f"tokens, best of {rounds} rounds of {setting.steps} steps, torch {torch.__version__}, "
        f"transformers {transformers.__version__}, trl {importlib.metadata.version('trl')}"
    )
    mine, limit = best[OURS], best[RAW]
    for peer in PEERS:
        record(
            f"tuner, {setting.title}{beside}: peer {peer}, limit {RAW}",
            mine,
            best[peer],
            limit,
            "tokens/s",
            f"{mine / limit:.2f} of limit, {mine / best[peer]:.2f} x peer; {note}",
        )


def settings(options: argparse.Namespace, folder: Path) -> Iterator[Setting]:
    """Makes a setting of every model and every kind of text that is asked for."""
    makers: Sequence[Callable[[Texts, Path, int], Setting]]
    if options.model:
        makers = [partial(pretrained, options.model, tuning) for tuning in ("adapter", "full")]
    else:
        makers = [partial(small_llama, size) for size in options.vocabulary]
    for number, make in enumerate(makers):
        for name in options.texts or TEXTS:
            yield make(TEXTS[name], folder / f"{number}-{name}", options.tokens)


def main() -> None:
    """Measures a small Llama at both vocabularies, or the model that is given in both ways."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=16_000, help="that each is timed on")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--vocabulary", type=int, nargs="*", default=[4096, 65_536])
    parser.add_argument("--texts", choices=TEXTS, action="append", help="leave out others")
    parser.add_argument("--model", type=Path, help="a pretrained model's folder")
    options = parser.parse_args()
    prepare_to_compute()
    with tempfile.TemporaryDirectory() as name:
        first = None
        for setting in settings(options, Path(name)):
            measure(setting, options.rounds, neighbours=0)
            first = first or setting
        if first:
            measure(first, options.rounds, neighbours=1)


if __name__ == "__main__":
    main()
