"""A million rows: time and memory of every stage up to the first training step.

    python benchmarks/million_rows.py --rows 1000000

needs half an hour, and ten gigabytes of disk in the temporary folder. Every stage runs in a process
of its own. Its memory is what it asked for itself (``RssAnon``, sampled) and what stood in memory
at once, mapped files included (``VmHWM``). The peer reads and tokenises the same file with
``datasets`` (``load_dataset`` and a batched ``map``, as TRL prepares a set), the limit is the bare
tokenizer in batches. Each is measured with a tenth of the rows too: the difference says what a row
takes.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from pathlib import Path

import numpy
from common import record

MODEL = "byte-tiny"
# Of the rows: the same again, and the same but for a word.
_REPEATED, _NEAR = 0.01, 0.01
ENCODING = "preprocess and encode"
_SUBJECTS = ("order", "invoice", "parcel", "password", "refund", "subscription", "delivery", "card")
_TEAMS = ("billing", "shipping", "accounts", "returns", "technical support")
_SAMPLE_SECONDS = 0.05
_BATCH = 1000
_MEBI = 2**20


def make_rows(path: Path, rows: int) -> None:
    """Writes messages to a shop with the teams' answers: about 400 bytes a row.

    Args:
        path: The JSONL file.
        rows: How many.
    """
    source, numbers = random.Random(11), numpy.random.default_rng(11)
    letters = "etaoinshrdlucmfw"
    words = ["".join(source.choices(letters, k=source.randint(2, 10))) for _ in range(30_000)]
    # Words of a language: the n-th most frequent one is n times as rare (Zipf).
    shares = 1 / numpy.arange(1, len(words) + 1)
    bounds = numpy.cumsum(shares / shares.sum())
    kept: list[str] = []
    with path.open("w", encoding="utf-8") as stream:
        for _ in range(rows):
            chance = source.random()
            if kept and chance < _REPEATED:
                text = source.choice(kept)
            elif kept and chance < _REPEATED + _NEAR:
                text = f"{source.choice(kept)} please"
            else:
                chosen = numpy.searchsorted(bounds, numbers.random(source.randint(15, 60)))
                picked = " ".join(words[number] for number in chosen)
                text = f"My {source.choice(_SUBJECTS)}: {picked}"
                if len(kept) < 10_000:
                    kept.append(text)
            answer = f"{source.choice(_TEAMS)}: {' '.join(text.split()[1:12])}"
            row = {"input_text": f"Which team answers, and why? {text}", "output_text": answer}
            stream.write(json.dumps(row) + "\n")


def validate(folder: Path) -> None:
    """Checks everything: rules, duplicates, near duplicates, labels, lengths, tokens."""
    from kfp_llm_tuning.components.validation.dataset import Request, validate_dataset

    request = Request(str(folder / "rows.jsonl"), large_model_reference=MODEL, epochs=-1)
    summary = validate_dataset(request).summary
    print(summary.warnings_by_kind, summary.bounded, file=sys.stderr)
    if not summary.valid:
        raise RuntimeError(summary.errors_by_kind)


def hold_out(folder: Path) -> None:
    """Chooses a tenth of the rows to evaluate on."""
    from kfp_llm_tuning.components.data.formats.published import PUBLISHED_TEXT
    from kfp_llm_tuning.components.data.held_out import hold_out
    from kfp_llm_tuning.components.models.dataset_limits import OPEN

    chosen = hold_out(str(folder / "rows.jsonl"), PUBLISHED_TEXT, 0.1, 0, OPEN)
    print(int(chosen.sum()), file=sys.stderr)


def encode(folder: Path) -> None:
    """Preprocesses and encodes the set."""
    from kfp_llm_tuning.components.dataset.stages import encode_for_model, preprocess_for_model

    records, encoded = str(folder / "records"), str(folder / "encoded")
    preprocess_for_model(str(folder / "rows.jsonl"), records, MODEL)
    encode_for_model(records, encoded, MODEL, "tune_v2", "GPU", "")


def first_step(folder: Path) -> None:
    """Tunes for one step, and saves the model."""
    from kfp_llm_tuning.components.tuning.__main__ import main

    options = {"train-dataset": "encoded", "output": "model"}
    given = [part for name, path in options.items() for part in (f"--{name}", str(folder / path))]
    main([*given, "--model-reference", MODEL, "--train-steps", "1"], standalone_mode=False)


def peer(folder: Path) -> None:
    """Reads and tokenises the set with datasets."""
    from datasets import disable_progress_bars, load_dataset

    tokenizer = _tokenizer()

    def tokenise(rows: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        prompts = tokenizer([f"{text}\n" for text in rows["input_text"]])["input_ids"]
        answers = tokenizer(rows["output_text"], add_special_tokens=False)["input_ids"]
        ends = [tokenizer.eos_token_id]
        return {
            "input_ids": [a + b + ends for a, b in zip(prompts, answers, strict=True)],
            "labels": [[-100] * len(a) + b + ends for a, b in zip(prompts, answers, strict=True)],
        }

    disable_progress_bars()
    data = load_dataset(
        "json", data_files=str(folder / "rows.jsonl"), cache_dir=str(folder / "cache")
    )["train"]
    data.map(tokenise, batched=True, remove_columns=data.column_names)


def limit(folder: Path) -> None:
    """Tokenises the set in batches and keeps nothing."""
    encode_batch = _tokenizer().backend_tokenizer.encode_batch_fast
    with (folder / "rows.jsonl").open(encoding="utf-8") as stream:
        rows: Iterator[dict[str, str]] = map(json.loads, stream)
        while batch := list(islice(rows, _BATCH)):
            for name in ("input_text", "output_text"):
                _ = [tokens.ids for tokens in encode_batch([row[name] for row in batch])]


def _tokenizer():  # type: ignore[no-untyped-def]
    from kfp_llm_tuning.components.models.base_models import tokenizer_folder
    from kfp_llm_tuning.components.models.model_references import resolve
    from kfp_llm_tuning.components.models.tokenizer import load_tokenizer

    return load_tokenizer(tokenizer_folder(resolve(MODEL)))


STAGES: dict[str, Callable[[Path], None]] = {
    "validate": validate,
    "hold out a tenth": hold_out,
    ENCODING: encode,
    "first step": first_step,
    "peer": peer,
    "limit": limit,
}


class _Memory:
    """Watches the memory that this process asked for, in a thread beside the work."""

    def __init__(self) -> None:
        self._most = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def figures(self) -> dict[str, float]:
        """Gives the greatest figures, in MiB."""
        self._done.set()
        self._thread.join()
        return {"own": self._most / 1024, "resident": _status("VmHWM") / 1024}

    def _watch(self) -> None:
        while not self._done.wait(_SAMPLE_SECONDS):
            self._most = max(self._most, _status("RssAnon"))


def _status(name: str) -> int:
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.partition(f"{name}:")[2].split()[0])


def measure_here(stage: str, folder: Path) -> None:
    """Runs a stage in this process, and prints its figures as the last line."""
    memory = _Memory()
    start = time.perf_counter()
    STAGES[stage](folder)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, **memory.figures()}))


def measure(rows: int, stages: Collection[str]) -> dict[str, dict[str, float]]:
    """Runs stages on so many rows, each in a process of its own."""
    figures = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_rows(folder / "rows.jsonl", rows)
        size = (folder / "rows.jsonl").stat().st_size / _MEBI
        print(f"{rows:,} rows, {size:,.0f} MiB", flush=True)
        for stage in stages:
            done = subprocess.run(
                [sys.executable, __file__, "--stage", stage, "--folder", name],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            figures[stage] = json.loads(done.stdout.splitlines()[-1])
            print(stage, figures[stage], flush=True)
    return figures


def main() -> None:
    """Measures a tenth of the rows and all of them, and keeps one row a stage."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", choices=list(STAGES), action="append", help="These stages.")
    parser.add_argument("--stage", choices=list(STAGES), help="In this process, on --folder.")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.stage:
        measure_here(options.stage, options.folder)
        return
    rows, stages = options.rows, options.only or list(STAGES)
    few, many = measure(rows // 10, stages), measure(rows, stages)
    for stage in stages:
        if stage not in ("peer", "limit"):
            keep(stage, rows, few, many)


def keep(
    stage: str, rows: int, few: dict[str, dict[str, float]], many: dict[str, dict[str, float]]
) -> None:
    """Keeps the row of one stage, that of encoding beside the peer's and the limit's."""
    ours, fewer = many[stage], few[stage]
    others = many if stage == ENCODING else {}
    peer_seconds, limit_seconds = (
        others[name]["seconds"] if name in others else None for name in ("peer", "limit")
    )
    a_row = (ours["own"] - fewer["own"]) * _MEBI / (rows - rows // 10)
    note = (
        f"peak of own memory {ours['own']:,.0f} MiB, with a tenth of the rows "
        f"{fewer['own']:,.0f} MiB: {a_row:,.0f} bytes a row; resident with mapped files "
        f"{ours['resident']:,.0f} MiB"
    )
    if "peer" in others:
        note += (
            f"; peer datasets.map with the same tokenizer, {others['peer']['own']:,.0f} MiB of its "
            "own; limit the bare tokenizer"
        )
    record(f"{rows:,} rows, {stage}", ours["seconds"], peer_seconds, limit_seconds, "s", note)


if __name__ == "__main__":
    main()
