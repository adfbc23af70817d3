"""Encoding: rows a second, against TRL's preparation and a bare batch call of the tokenizer.

All three read the same examples with the same tokenizer in this process; the best of three rounds
counts, and the rounds of the three take turns. TRL's is what `SFTTrainer` does with a dataset of
prompts and completions before its first step, held in memory; ours reads a JSONL file and writes
Arrow data to disk. The bare call makes token lists of prompts and completions and does nothing
else.

    python benchmarks/encoding.py ../shared/data/gsm8k/train.jsonl

needs `pip install trl==1.16.0` besides the package with its tuning extra.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# As in a run of the pipeline: the tokenizer may use every core.
os.environ["TOKENIZERS_PARALLELISM"] = "true"

from common import record
from datasets import Dataset, disable_caching, disable_progress_bars
from transformers import PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer
from word_tokenizer import train_word_tokenizer

from kfp_llm_tuning.components.data.artifacts import Record, read_records
from kfp_llm_tuning.components.dataset.encode import Limits, encode_dataset
from kfp_llm_tuning.components.dataset.preprocess import Source, preprocess_dataset
from kfp_llm_tuning.components.models import byte_tiny

_ROUNDS = 3
_LIMITS = Limits(max_input_tokens=8192, max_output_tokens=1024)


class _TimedTrainer(SFTTrainer):
    """Keeps the time of the preparation apart from that of setting up a trainer."""

    seconds = 0.0

    def _prepare_dataset(self, *arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        prepared = super()._prepare_dataset(*arguments, **options)
        self.seconds = time.perf_counter() - start
        return prepared


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _trl_seconds(records: list[Record], tokenizer: PreTrainedTokenizerFast, folder: Path) -> float:
    columns = [{"prompt": item.prompt, "completion": item.completion} for item in records]
    arguments = SFTConfig(
        output_dir=str(folder), max_length=None, use_cpu=True, bf16=False, report_to=[]
    )
    trainer = _TimedTrainer(
        model=byte_tiny.build_model(),
        args=arguments,
        train_dataset=Dataset.from_list(columns),
        processing_class=tokenizer,
    )
    assert len(trainer.train_dataset) == len(records)
    return trainer.seconds


def _bare_seconds(records: list[Record], tokenizer: PreTrainedTokenizerFast) -> float:
    prompts = [item.prompt for item in records]
    completions = [item.completion for item in records]
    encode = tokenizer.backend_tokenizer.encode_batch_fast
    return _seconds(lambda: [encoding.ids for encoding in [*encode(prompts), *encode(completions)]])


def measure(path: Path, tokenizer: PreTrainedTokenizerFast, name: str) -> None:
    """Measures one tokenizer and records two rows: encoding alone, and with preprocessing.

    Args:
        path: A JSONL file of text rows.
        tokenizer: The tokenizer of all three.
        name: What it is called in the results.
    """
    source = Source(str(path), name)
    times: dict[str, list[float]] = {"preprocess": [], "encode": [], "trl": [], "bare": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        text, tokens = folder / "records", folder / "encoded"
        for _ in range(_ROUNDS):
            times["preprocess"].append(
                _seconds(lambda: preprocess_dataset(source, tokenizer, text))
            )
            times["encode"].append(
                _seconds(lambda: encode_dataset(text, tokenizer, _LIMITS, tokens))
            )
            records = list(read_records(text))
            times["trl"].append(_trl_seconds(records, tokenizer, folder / "trl"))
            times["bare"].append(_bare_seconds(records, tokenizer))
    best = {key: min(values) for key, values in times.items()}
    rows = len(records)
    peer, limit = rows / best["trl"], rows / best["bare"]
    note = (
        f"{name} tokenizer, {path.parent.name}/{path.name}, {rows} rows; "
        "peer: TRL 1.16.0, in memory; limit: tokenizers' bare encode_batch_fast"
    )
    record("encode to Arrow", rows / best["encode"], peer, limit, "rows/s", note)
    both = rows / (best["preprocess"] + best["encode"])
    record("preprocess and encode JSONL", both, peer, limit, "rows/s", note)


def main() -> None:
    """Measures with byte-tiny's tokenizer and with one of 4,000 words."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="JSONL file of text rows")
    path = parser.parse_args().file
    disable_caching()
    disable_progress_bars()
    measure(path, byte_tiny.build_tokenizer(), "byte-tiny")
    measure(path, train_word_tokenizer([path]), "4k BPE")


if __name__ == "__main__":
    main()
