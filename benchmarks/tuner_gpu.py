"""Tuner tokens/s on one GPU beside TRL with Liger and packing, and both as shares of the peak.

Models of 1B and 8B with random weights are tuned with LoRA and in full, on texts of one length
(2,048 tokens, a quarter learned) and on a mix of real ones, about 16k tokens a step. Ours is the
tuner's own entry point, which chooses memory, layout and kernels by itself. Each run is timed for
some seconds behind its warm-up, and the device is waited for at both ends. Shares are of 989
TFLOP/s, the data sheet's of an H100 or H200, and of a large matrix product measured before,
counted as published figures are. What does not fit, or not into the time, is told.

    python benchmarks/tuner_gpu.py --data shared/data [--wheels FOLDER]

takes under eight minutes and installs nothing, or from a folder of wheels what is missing of trl
and liger-kernel. ``--dry-run`` does all of it with a tiny model, without a GPU and in seconds: it
shows that it works, and records nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from common import RESULTS, record
from datasets import disable_progress_bars
from encoded_examples import write_sequences
from gpu_runs import Run, Speed, free_memory, ours, product_rate, trl
from model_shapes import make_config, operations_of_a_token
from real_lengths import encode, of_one_length
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase
from tuner_setting import tokenizer_of_words
from tuner_texts import TEXTS
from word_tokenizer import train_word_tokenizer

from kfp_llm_tuning.components.data.encoded_set import EncodedSet
from kfp_llm_tuning.components.models.precision import has_fast_bf16

PEAK = 989e12
TOKENS_A_STEP = 16_384
REAL = ("clinc150/train.jsonl", "gsm8k/eval.jsonl", "sgd/train_full_dialogues.jsonl")
NEEDED = {"trl": "trl", "liger_kernel": "liger-kernel"}
# What takes long and may not fit comes last.
CASES = (("8B", "adapter"), ("1B", "adapter"), ("1B", "full"), ("8B", "full"))


@dataclass(frozen=True)
class Scale:
    """How large everything is.

    Attributes:
        shapes: Shape to build for each shape that is named.
        tokens_a_step: Tokens of a step, about.
        length: Tokens of texts of one length.
        seconds: That a run is timed for.
        product: Rows of the matrix product.
        minutes: In which no further run is begun.
    """

    shapes: Mapping[str, str]
    tokens_a_step: int
    length: int
    seconds: float
    product: int
    minutes: float


REAL_SCALE = Scale({"1B": "1B", "8B": "8B"}, TOKENS_A_STEP, 2048, 8.0, 8192, 7.0)
DRY_SCALE = Scale({"1B": "tiny", "8B": "tiny"}, 512, 64, 0.2, 256, 7.0)


def write_model(shape: str, tokenizer: PreTrainedTokenizerBase, folder: Path) -> Path:
    """Writes a model of random weights in bf16, made on the GPU where there is one."""
    torch.manual_seed(0)
    config = make_config(
        shape,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_sets(
    data: Path | None, tokenizer: PreTrainedTokenizerBase, scale: Scale, folder: Path
) -> dict[str, Path]:
    """Writes texts of one length and the mix: real texts, or random ones as long as they are."""
    vocabulary = len(tokenizer)
    if data:
        sets = [encode(data / path, tokenizer, folder / Path(path).parent) for path in REAL]
        mixed = [one.sequence(row) for one in sets for row in range(len(one))]
    else:
        mixed = [row for texts in TEXTS.values() for row in texts.draw(64, vocabulary)]
    fixed = of_one_length(64, scale.length, vocabulary)
    return {
        "one length": write_sequences(folder / "fixed", fixed),
        "real mix": write_sequences(folder / "mix", mixed),
    }


def attempt(work: Callable[[Run], Speed], run: Run) -> Speed | str:
    """Runs something; gives the reason in one line where it fails, as for lack of memory."""
    try:
        return work(run)
    except Exception as error:
        return (str(error).splitlines() or [type(error).__name__])[0]
    finally:
        free_memory()


def measure(case: str, shape: str, run: Run, limit: float, results: Path) -> None:
    """Runs ours and TRL's, and records both, or tells why there is nothing to record."""
    read = EncodedSet(run.dataset)
    needed = operations_of_a_token(make_config(shape), run.tuning, float(read.lengths.mean()))
    mine, peer = attempt(ours, run), attempt(trl, run)
    for name, found in (("ours", mine), ("TRL", peer)):
        if isinstance(found, str):
            print(f"{case}: {name} did not run: {found}", flush=True)
    if isinstance(mine, str):
        return
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    told = f"{device}, {_shares(mine, needed, limit)}; {mine.steps} steps timed. {mine.told}"
    if isinstance(peer, Speed):
        told += f" TRL with Liger, packed: {_shares(peer, needed, limit)}; {peer.told}."
    record(
        f"tuner on GPU, {case}: peer TRL with Liger and packing, limit matrix products",
        mine.tokens,
        peer.tokens if isinstance(peer, Speed) else None,
        limit / needed,
        "tokens/s",
        f"{told} torch {torch.__version__}, transformers {transformers.__version__}",
        results=results,
    )


def _shares(speed: Speed, needed: float, limit: float) -> str:
    reached = speed.tokens * needed
    return (
        f"{reached / 1e12:.0f} TFLOP/s, {reached / PEAK:.1%} of 989, "
        f"{reached / limit:.1%} of a measured product's {limit / 1e12:.0f}"
    )


def runs(
    models: Mapping[str, Path], sets: Mapping[str, Path], scale: Scale, steps: int
) -> Iterator[tuple[str, str, Run]]:
    """Names all runs with their shapes, the most telling first."""
    for shape, tuning in CASES:
        for title, dataset in sets.items():
            read = EncodedSet(dataset)
            an_answer = float(read.lengths.sum()) / read.examples
            batch = max(round(scale.tokens_a_step / an_answer), 1)
            run = Run(models[shape], dataset, tuning, batch, steps, scale.seconds)
            yield f"{shape}, {tuning}, {title}", scale.shapes[shape], run


def provide(wheels: Path | None) -> None:
    """Installs what is missing from a folder of wheels, never from a network."""
    missing = [name for module, name in NEEDED.items() if not importlib.util.find_spec(module)]
    if not missing:
        return
    if not wheels:
        sys.exit(f"This benchmark needs {' and '.join(missing)}: --wheels names a folder of them.")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index"]
    subprocess.run([*command, "--find-links", str(wheels), *missing], check=True)
    importlib.invalidate_caches()


def main() -> None:
    """Measures all cases, or goes through all of them without a GPU."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of real texts; random ones without")
    parser.add_argument("--wheels", type=Path, help="folder of wheels, for what is missing")
    parser.add_argument("--scratch", type=Path, help="takes 20 GB; /dev/shm is fast")
    parser.add_argument("--steps", type=int, default=900, help="1,000 let torch.compile be tried")
    parser.add_argument("--dry-run", action="store_true")
    options = parser.parse_args()
    began = time.perf_counter()
    scale = DRY_SCALE if options.dry_run else REAL_SCALE
    if not options.dry_run:
        if not torch.cuda.is_available():
            sys.exit("This benchmark needs a CUDA GPU; torch sees none here. Try --dry-run.")
        provide(options.wheels)
    transformers.logging.set_verbosity_error()
    disable_progress_bars()
    warnings.simplefilter("ignore", FutureWarning)
    with tempfile.TemporaryDirectory(dir=options.scratch) as name:
        folder = Path(name)
        texts = [options.data / path for path in REAL] if options.data else []
        tokenizer = train_word_tokenizer(texts) if texts else tokenizer_of_words(512)
        sets = write_sets(options.data, tokenizer, scale, folder / "sets")
        models = {
            shape: write_model(scale.shapes[shape], tokenizer, folder / shape)
            for shape in ("1B", "8B")
        }
        free_memory()
        limit = product_rate(scale.product)
        kind = "bf16" if has_fast_bf16() else "fp32"
        print(f"A matrix product of {scale.product}: {limit / 1e12:.3g} TFLOP/s; {kind}.")
        results = folder / "results.md" if options.dry_run else RESULTS
        for case, shape, run in runs(models, sets, scale, options.steps):
            if time.perf_counter() - began > 60 * scale.minutes:
                print(f"{case}: left out, the time is over.", flush=True)
            else:
                measure(case, shape, run, limit, results)
    print(f"Done in {time.perf_counter() - began:.0f} s.")


if __name__ == "__main__":
    main()
