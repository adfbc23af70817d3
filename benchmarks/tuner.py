"""Tuner tokens/s on CPU against raw forward+backward, transformers.Trainer and TRL SFTTrainer.

All in one run, on the same examples and the same 8.5M-parameter Llama (at a vocabulary of 4k):
batches of 8 examples of about 66 tokens, 4 of them labels, as clinc150's texts are under a
vocabulary of 4k. Raw has no optimiser; the others do all that a step needs, saving excepted.
Contenders take turns; the best round is reported, as other work only ever slows one down.

Usage: ``python benchmarks/tuner.py [--steps 30] [--rounds 2]``. Needs trl besides the package with
its tuning extra.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from common import record
from datasets import Dataset, disable_progress_bars
from tokenizers import Tokenizer, models
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from kfp_llm_tuning.components.data.batching import EncodedSet, StepSampler, collate
from kfp_llm_tuning.components.models.label_only_loss import (
    ForwardPlan,
    Head,
    label_logits,
    label_loss,
)
from kfp_llm_tuning.components.models.precision import has_fast_bf16
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.checkpoints import CheckpointDirectory
from kfp_llm_tuning.components.tuning.interruption import Interruption
from kfp_llm_tuning.components.tuning.run_settings import RunSettings
from kfp_llm_tuning.components.tuning.trainer import LabelOnlyTrainer
from kfp_llm_tuning.components.tuning.tuning_sets import TuningSets

BATCH = 8
WARM_UP = 5
EXAMPLES = 800
BF16 = has_fast_bf16()


@dataclass(frozen=True)
class Setting:
    """One vocabulary's model and data."""

    vocabulary: int
    folder: Path
    steps: int

    def model(self) -> LlamaForCausalLM:
        """Builds the model, the same each time."""
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=self.vocabulary,
            hidden_size=256,
            intermediate_size=688,
            num_hidden_layers=8,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=1024,
            tie_word_embeddings=False,
            pad_token_id=0,
        )
        return LlamaForCausalLM(config)

    def encoded(self) -> EncodedSet:
        """Opens the examples as the tuner does."""
        return EncodedSet(self.folder)

    def columns(self, **named: Callable[[list[int], int], Any]) -> Dataset:
        """Makes columns of each example's tokens and prompt length, for the peers."""
        dataset = self.encoded()
        examples = [dataset.example(row) for row in range(len(dataset))]
        rows = [(example.input_ids.tolist(), example.prompt_length) for example in examples]
        return Dataset.from_dict(
            {name: [make(ids, prompt) for ids, prompt in rows] for name, make in named.items()}
        )

    def common_arguments(self) -> dict[str, Any]:
        """Arguments of transformers' and TRL's trainers."""
        return {
            "output_dir": str(self.folder / "unused"),
            "max_steps": self.steps,
            "per_device_train_batch_size": BATCH,
            "bf16": BF16,
            "use_cpu": True,
            "report_to": "none",
            "save_strategy": "no",
            "logging_steps": 10,
            "disable_tqdm": True,
            "train_sampling_strategy": "group_by_length",
        }


def write_examples(vocabulary: int, folder: Path) -> None:
    """Random tokens; 62 +- 8 in a prompt, 1 to 7 in a label."""
    generator = np.random.default_rng(0)
    ids, prompts = [], []
    for _ in range(EXAMPLES):
        prompt = int(np.clip(generator.normal(62, 8), 20, 110))
        length = prompt + int(generator.integers(1, 8))
        ids.append(generator.integers(3, vocabulary, length).astype(np.int32))
        prompts.append(prompt)
    Dataset.from_dict({"input_ids": ids, "prompt_length": prompts}).save_to_disk(str(folder))
    (folder / "encoding.json").write_text(json.dumps({"examples": EXAMPLES}))


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
    model, dataset, clock = setting.model(), setting.encoded(), Clock()
    plan = ForwardPlan(head, attention_mask=False)
    sampler = StepSampler(dataset, batch_size=BATCH, steps=setting.steps, seed=0)
    for number, step in enumerate(sampler, start=1):
        batch = collate([dataset.example(int(row)) for row in step.rows])
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=BF16):
            loss, _ = label_loss(label_logits(model, batch, plan), batch.targets)
        loss.backward()
        model.zero_grad()
        clock.tokens += step.tokens
        clock.on_step_end(None, _State(number), None)
    return clock.speed


@dataclass(frozen=True)
class _State:
    global_step: int


def ours(setting: Setting) -> float:
    """This project's trainer, as the command runs it."""
    arguments = TuningArguments(
        "m",
        train_steps=setting.steps,
        batch_size=BATCH,
        tuning="full",
        checkpoint_interval=setting.steps,
    )
    with tempfile.TemporaryDirectory() as folder:
        settings = RunSettings(
            arguments=arguments,
            checkpoints=CheckpointDirectory(Path(folder)),
            bf16=BF16,
            micro_batch_size=BATCH,
            use_cpu=True,
        )
        clock = Clock()
        trainer = LabelOnlyTrainer(
            setting.model(),
            settings,
            TuningSets(setting.encoded(), EncodedSet(None)),
            Interruption(),
            [clock],
        )
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
    return train_timed(Trainer(setting.model(), arguments, _pad, data))


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
            "max_length": 530,
            "per_device_train_batch_size": 1,
            "train_sampling_strategy": "random",
        }
    config = trl.SFTConfig(
        **arguments, completion_only_loss=True, gradient_checkpointing=False, learning_rate=2e-4
    )
    tokenizer = make_tokenizer(setting.vocabulary)
    trainer = trl.SFTTrainer(
        setting.model(), config, train_dataset=data, processing_class=tokenizer
    )
    return train_timed(trainer)


def make_tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    """Makes a tokenizer of as many words, which TRL asks for."""
    words = {"<pad>": 0, "<bos>": 1, "<eos>": 2} | {f"t{i}": i for i in range(3, vocabulary)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<pad>")),
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
    )


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


def measure(vocabulary: int, steps: int, rounds: int) -> None:
    """Times all contenders at one vocabulary and records them."""
    best = dict.fromkeys(CONTENDERS, 0.0)
    with tempfile.TemporaryDirectory() as folder, quiet():
        write_examples(vocabulary, Path(folder))
        setting = Setting(vocabulary, Path(folder), steps)
        for _ in range(rounds):
            for name, contender in CONTENDERS.items():
                best[name] = max(best[name], contender(setting))
                print(f"vocabulary {vocabulary}: {name} {best[name]:,.0f} tok/s", flush=True)
    kind = "bf16" if BF16 else "fp32"
    note = (
        f"{kind}, {torch.get_num_threads()} threads, batch of 8 x 66 tokens, best of {rounds} "
        f"rounds of {steps} steps, torch {torch.__version__}, "
        f"transformers {transformers.__version__}, trl {importlib.metadata.version('trl')}"
    )
    mine = best["ours"]
    for peer in ("Trainer", "TRL", "TRL packed"):
        for limit in ("raw, all logits", "raw, label logits"):
            record(
                f"tuner, vocabulary {vocabulary}: peer {peer}, limit {limit}",
                mine,
                best[peer],
                best[limit],
                "tokens/s",
                f"{mine / best[limit]:.2f} of limit, {mine / best[peer]:.2f} x peer; {note}",
            )


def main() -> None:
    """Measures both vocabularies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--vocabulary", type=int, nargs="*", default=[4096, 65_536])
    options = parser.parse_args()
    for vocabulary in options.vocabulary:
        measure(vocabulary, options.steps, options.rounds)


if __name__ == "__main__":
    main()
