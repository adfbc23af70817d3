"""One run of the tuner and one of TRL on this machine's GPU, timed from queue empty to queue empty.

Both train on the same encoded set from the same folder of a model. Without a GPU they run on the
processor, which shows no more than that they work.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import logging
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback
from tuner_contenders import tokens_of
from tuner_setting import learned

from kfp_llm_tuning.components.common.errors import RunAgain
from kfp_llm_tuning.components.data.encoded_set import EncodedSet
from kfp_llm_tuning.components.data.step_sampler import StepSampler
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.places import TuningPaths
from kfp_llm_tuning.components.tuning.tune import tune

# Kernels are chosen and memory is laid out in the first steps.
WARM_UP = 5
# TRL's packed rows; as many a step as the batch has tokens.
_ROW = 8192


@dataclass(frozen=True)
class Run:
    """What is run.

    Attributes:
        model: Folder of the model.
        dataset: Folder of the encoded set.
        tuning: "adapter" or "full".
        batch: Answers of a step.
        steps: Steps that are announced: 1,000 let torch.compile be tried.
        seconds: After how many a run is stopped.
    """

    model: Path
    dataset: Path
    tuning: str
    batch: int
    steps: int
    seconds: float


@dataclass(frozen=True)
class Speed:
    """What was seen of a run.

    Attributes:
        tokens: Tokens a second, padding excepted.
        steps: Steps that were timed.
        told: What the run said of its forward passes.
    """

    tokens: float
    steps: int
    told: str = ""


class Window(TrainerCallback):
    """Times steps behind the warm-up, waits for the device at both ends, and stops the run."""

    def __init__(self, seconds: float) -> None:
        """Starts at nothing."""
        self.steps = 0
        self.seconds = 0.0
        self.tokens = 0
        self._wanted = seconds
        self._began = 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Trainer's call after every step."""
        if state.global_step == WARM_UP:
            _wait_for_device()
            self.tokens, self._began = 0, time.perf_counter()
        elif state.global_step > WARM_UP:
            last = state.global_step >= state.max_steps - 1
            if last or time.perf_counter() - self._began >= self._wanted:
                _wait_for_device()
                self.seconds = time.perf_counter() - self._began
                self.steps = state.global_step - WARM_UP
                control.should_training_stop = True


def _wait_for_device() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def ours(run: Run) -> Speed:
    """Tunes as the command does: its own choice of memory, layout, kernels and arithmetic."""
    window = Window(run.seconds)
    arguments = TuningArguments(
        str(run.model),
        train_steps=run.steps,
        batch_size=run.batch,
        tuning=run.tuning,
        checkpoint_interval=run.steps,
    )
    with tempfile.TemporaryDirectory() as name, _decisions() as told:
        folder = Path(name)
        paths = TuningPaths(
            train_dataset=run.dataset,
            evaluation_dataset=None,
            output=folder / "output",
            metrics=folder / "metrics",
            checkpoints=folder / "checkpoints",
        )
        with contextlib.suppress(RunAgain):
            tune(arguments, paths, [window])
    plans = StepSampler(
        EncodedSet(run.dataset),
        batch_size=run.batch,
        steps=run.steps,
        seed=arguments.seed,
    )
    timed = islice(plans, WARM_UP, WARM_UP + window.steps)
    tokens = sum(plan.tokens for plan in timed)
    return Speed(tokens / window.seconds, window.steps, " ".join(told))


@contextlib.contextmanager
def _decisions() -> Iterator[list[str]]:
    """Collects what the tuner says of how it computes."""
    told: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = record.getMessage()
            if text.startswith(("Fast path:", "Forward pass:")) or "tokens in a forward" in text:
                told.append(text)

    ours, collector = logging.getLogger("kfp_llm_tuning"), Collector()
    level = ours.level
    ours.setLevel(logging.INFO)
    ours.addHandler(collector)
    try:
        yield told
    finally:
        ours.removeHandler(collector)
        ours.setLevel(level)


def trl(run: Run) -> Speed:
    """Trains by TRL's SFTTrainer: packed rows, Liger's kernels and loss, flash attention if any."""
    from datasets import Dataset
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    cuda = torch.cuda.is_available()
    read = EncodedSet(run.dataset)
    rows = [read.sequence(row) for row in range(len(read))]
    columns = {
        "input_ids": [row.input_ids.tolist() for row in rows],
        "completion_mask": [learned(row).tolist() for row in rows],
    }
    tokens_a_step = run.batch * float(read.lengths.sum()) / read.examples
    row_tokens = min(_ROW, max(int(tokens_a_step), int(read.lengths.max())))
    flash = bool(cuda and importlib.util.find_spec("flash_attn"))
    model: Any = AutoModelForCausalLM.from_pretrained(
        run.model,
        dtype=torch.bfloat16 if cuda and run.tuning == "adapter" else torch.float32,
        attn_implementation="flash_attention_2" if flash else "sdpa",
    )
    if run.tuning == "adapter":
        model = get_peft_model(model, LoraConfig(r=16, target_modules="all-linear"))
    with tempfile.TemporaryDirectory() as folder:
        config = SFTConfig(
            output_dir=folder,
            max_steps=run.steps,
            packing=True,
            max_length=row_tokens,
            per_device_train_batch_size=1,
            gradient_accumulation_steps=max(round(tokens_a_step / row_tokens), 1),
            completion_only_loss=True,
            use_liger_kernel=cuda,
            gradient_checkpointing=False,
            bf16=cuda,
            use_cpu=not cuda,
            learning_rate=2e-4,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        )
        window = Window(run.seconds)
        trainer = SFTTrainer(
            model,
            config,
            train_dataset=Dataset.from_dict(columns),
            processing_class=AutoTokenizer.from_pretrained(run.model),
            callbacks=[window],
        )
        trainer.remove_callback(PrinterCallback)
        step = trainer.training_step

        def counting(model: Any, inputs: Any, *rest: Any) -> Any:
            window.tokens += tokens_of(inputs)
            return step(model, inputs, *rest)

        trainer.training_step = counting
        trainer.train()
    attention = "flash attention 2" if flash else "sdpa"
    return Speed(window.tokens / window.seconds, window.steps, f"{attention}, rows of {row_tokens}")


def free_memory() -> None:
    """Gives back what a run has left on the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def product_rate(size: int, tries: int = 10) -> float:
    """Times square matrix products: bf16 on a GPU, fp32 on a processor.

    Args:
        size: Rows of each.
        tries: How many are made; the fastest counts.

    Returns:
        Floating point operations a second.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(tries + 3):
        _wait_for_device()
        began = time.perf_counter()
        left @ right
        _wait_for_device()
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best
