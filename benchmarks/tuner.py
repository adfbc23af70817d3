"""Tuner tokens/s on CPU against raw forward+backward, transformers.Trainer and TRL SFTTrainer.

All in one run, on the same examples and the same model: a Llama of 8.5M parameters (at a vocabulary
of 4k), or a pretrained model given by ``--model``, with LoRA adapters and in full. Batches of 8
examples as clinc150's texts are: of the first about 66 tokens, of the second 98, 4 of them labels.
Raw has no optimiser; the others do all that a step needs, saving excepted. The last limit is what
the machine would do if nothing but the matrix products of a step took time, at the rate of one
layer's product. Contenders take turns; the best round is reported, as other work only ever slows
one down.

Usage: ``python benchmarks/tuner.py [--steps 30] [--rounds 2] [--model FOLDER]``. Needs trl besides
the package with its tuning extra.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from common import record
from datasets import disable_progress_bars
from roofline import operations_a_second
from torch.utils.flop_counter import FlopCounterMode
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from tuner_setting import BATCH, Setting, pretrained, small_llama

from kfp_llm_tuning.components.common.processors import prepare_to_compute
from kfp_llm_tuning.components.data.encoded_set import EncodedSet
from kfp_llm_tuning.components.data.step_sampler import StepSampler
from kfp_llm_tuning.components.data.token_layouts import collate
from kfp_llm_tuning.components.models.label_only_loss import (
    ForwardPlan,
    Head,
    label_logits,
    label_loss,
)
from kfp_llm_tuning.components.models.precision import fastest_dtype, has_fast_bf16
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.checkpoints import CheckpointDirectory
from kfp_llm_tuning.components.tuning.interruption import Interruption
from kfp_llm_tuning.components.tuning.run_settings import RunSettings
from kfp_llm_tuning.components.tuning.trainer import LabelOnlyTrainer
from kfp_llm_tuning.components.tuning.tuning_sets import TuningSets

WARM_UP = 5


class Clock(TrainerCallback):
    """Tokens and seconds from the end of the warm-up to the end of training."""

    def __init__(self) -> None:
        """Starts at nothing."""
        self.tokens = 0
        self._began = 0.0
        self.seconds = 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Trainer's call after every step."""
        if state.global_step == WARM_UP:
            self.tokens, self._began = 0, time.perf_counter()
        self.seconds = time.perf_counter() - self._began

    def count(self, trainer: Trainer) -> None:
        """Counts the tokens of each step, padding excepted."""
        step = trainer.training_step

        def counting(model: Any, inputs: Any, *rest: Any) -> Any:
            self.tokens += _tokens(inputs)
            return step(model, inputs, *rest)

        trainer.training_step = counting  # type: ignore[method-assign]

    @property
    def speed(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds


def _tokens(inputs: Any) -> int:
    if not isinstance(inputs, dict):
        return int(inputs.tokens)
    mask = inputs.get("attention_mask")
    return int(mask.sum()) if mask is not None else inputs["input_ids"].numel()


def raw(setting: Setting, head: Head) -> float:
    """Forward and backward passes alone."""
    model, dataset, clock = setting.make_model(), setting.encoded(), Clock()
    plan = ForwardPlan(head, attention_mask=False)
    sampler = StepSampler(dataset, batch_size=BATCH, steps=setting.steps, seed=0)
    for number, step in enumerate(sampler, start=1):
        batch = collate([dataset.part(part) for part in step.parts])
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=has_fast_bf16()):
            loss, _ = label_loss(label_logits(model, batch, plan), batch.targets)
        loss.backward()
        model.zero_grad()
        clock.tokens += step.tokens
        clock.on_step_end(None, _State(number), None)
    return clock.speed


@dataclass(frozen=True)
class _State:
    global_step: int


def products_alone(setting: Setting) -> float:
    """A step's floating point operations in matrix products, at the rate of the widest layer's."""
    model, dataset = setting.make_model(), setting.encoded()
    plan = ForwardPlan(Head.MASK, attention_mask=False)
    step = next(iter(StepSampler(dataset, batch_size=BATCH, steps=1, seed=0)))
    batch = collate([dataset.part(part) for part in step.parts])
    with FlopCounterMode(display=False) as counter:
        loss, _ = label_loss(label_logits(model, batch, plan), batch.targets)
        loss.backward()
    rate = operations_a_second(model, step.tokens, fastest_dtype())
    return step.tokens * rate / counter.get_total_flops()


def ours(setting: Setting) -> float:
    """This project's trainer, as the command runs it."""
    arguments = TuningArguments(
        "m",
        train_steps=setting.steps,
        batch_size=BATCH,
        tuning=setting.tuning,
        checkpoint_interval=setting.steps,
    )
    with tempfile.TemporaryDirectory() as folder:
        settings = RunSettings(
            arguments=arguments,
            checkpoints=CheckpointDirectory(Path(folder)),
            bf16=has_fast_bf16(),
            micro_batch_size=BATCH,
            use_cpu=True,
        )
        return run_ours_timed(setting.make_model(), settings, setting.encoded())


def run_ours_timed(model: Any, settings: RunSettings, examples: EncodedSet) -> float:
    """Tunes with this project's trainer and returns tokens a second."""
    clock = Clock()
    sets = TuningSets(examples, EncodedSet(None))
    trainer = LabelOnlyTrainer(model, settings, sets, Interruption(), [clock])
    clock.count(trainer)
    trainer.run(None)
    return clock.speed


def plain_trainer(setting: Setting) -> float:
    """transformers.Trainer with a padding collator."""
    data = setting.columns(
        input_ids=lambda ids, prompt: ids,
        labels=lambda ids, prompt: [-100] * prompt + ids[prompt:],
    )
    arguments = TrainingArguments(**setting.common_arguments())
    return train_timed(Trainer(setting.make_model(), arguments, _pad, data))


def _pad(rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    width = max(len(row["input_ids"]) for row in rows)
    filled = {"input_ids": 0, "labels": -100}
    batch = {
        name: torch.tensor([row[name] + [fill] * (width - len(row[name])) for row in rows])
        for name, fill in filled.items()
    }
    lengths = torch.tensor([len(row["input_ids"]) for row in rows])
    batch["attention_mask"] = (torch.arange(width) < lengths[:, None]).long()
    return batch


def trl_trainer(setting: Setting, *, packing: bool) -> float:
    """TRL's SFTTrainer, loss on completions only."""
    import trl

    data = setting.columns(
        input_ids=lambda ids, prompt: ids,
        completion_mask=lambda ids, prompt: [0] * prompt + [1] * (len(ids) - prompt),
    )
    arguments = setting.common_arguments()
    if packing:
        arguments |= {
            "packing": True,
            "max_length": BATCH * setting.tokens_per_example,
            "per_device_train_batch_size": 1,
            "train_sampling_strategy": "random",
        }
    config = trl.SFTConfig(
        **arguments, completion_only_loss=True, gradient_checkpointing=False, learning_rate=2e-4
    )
    trainer = trl.SFTTrainer(
        setting.make_model(), config, train_dataset=data, processing_class=setting.tokenizer
    )
    return train_timed(trainer)


def train_timed(trainer: Trainer) -> float:
    """Trains and returns tokens a second."""
    clock = Clock()
    trainer.add_callback(clock)
    trainer.remove_callback(PrinterCallback)
    clock.count(trainer)
    trainer.train()
    return clock.speed


CONTENDERS: dict[str, Callable[[Setting], float]] = {
    "raw, all logits": lambda setting: raw(setting, Head.FULL),
    "raw, label logits": lambda setting: raw(setting, Head.MASK),
    "products alone": products_alone,
    "ours": ours,
    "Trainer": plain_trainer,
    "TRL": lambda setting: trl_trainer(setting, packing=False),
    "TRL packed": lambda setting: trl_trainer(setting, packing=True),
}


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


def measure(setting: Setting, rounds: int) -> None:
    """Times all contenders and records them."""
    best = dict.fromkeys(CONTENDERS, 0.0)
    with quiet():
        setting.write_examples()
        for _ in range(rounds):
            for name, contender in CONTENDERS.items():
                best[name] = max(best[name], contender(setting))
                print(f"{setting.title}: {name} {best[name]:,.0f} tok/s", flush=True)
    kind = "bf16" if has_fast_bf16() else "fp32"
    note = (
        f"{kind}, {torch.get_num_threads()} threads, batch of {BATCH} x "
        f"{setting.tokens_per_example} tokens, best of {rounds} rounds of {setting.steps} steps, "
        f"torch {torch.__version__}, transformers {transformers.__version__}, "
        f"trl {importlib.metadata.version('trl')}"
    )
    mine = best["ours"]
    for peer in ("Trainer", "TRL", "TRL packed"):
        for limit in ("raw, all logits", "raw, label logits", "products alone"):
            record(
                f"tuner, {setting.title}: peer {peer}, limit {limit}",
                mine,
                best[peer],
                best[limit],
                "tokens/s",
                f"{mine / best[limit]:.2f} of limit, {mine / best[peer]:.2f} x peer; {note}",
            )


def main() -> None:
    """Measures a small Llama at both vocabularies, or the model that is given in both ways."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--vocabulary", type=int, nargs="*", default=[4096, 65_536])
    parser.add_argument("--model", type=Path, help="a pretrained model's folder")
    options = parser.parse_args()
    prepare_to_compute()
    with tempfile.TemporaryDirectory() as name:
        if options.model:
            settings = [
                pretrained(options.model, tuning, Path(name) / tuning, options.steps)
                for tuning in ("adapter", "full")
            ]
        else:
            settings = [
                small_llama(size, Path(name) / str(size), options.steps)
                for size in options.vocabulary
            ]
        for setting in settings:
            measure(setting, options.rounds)


if __name__ == "__main__":
    main()
