"""The tuner and what `tuner.py` compares it with: each trains on a setting and tells its speed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from tuner_setting import BATCH, WARM_UP, Setting, learned

from kfp_llm_tuning.components.data.encoded_set import EncodedSet
from kfp_llm_tuning.components.data.step_sampler import StepSampler
from kfp_llm_tuning.components.data.token_layouts import PaddedRows
from kfp_llm_tuning.components.models.label_only_loss import ForwardPlan, label_loss
from kfp_llm_tuning.components.models.precision import has_fast_bf16
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.checkpoints import CheckpointDirectory
from kfp_llm_tuning.components.tuning.interruption import Interruption
from kfp_llm_tuning.components.tuning.torch_engine.run_settings import decide_settings
from kfp_llm_tuning.components.tuning.torch_engine.trainable_model import TrainableModel
from kfp_llm_tuning.components.tuning.torch_engine.trainer import LabelOnlyTrainer
from kfp_llm_tuning.components.tuning.tuning_sets import TuningSets


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
            self.tokens += tokens_of(inputs)
            return step(model, inputs, *rest)

        trainer.training_step = counting  # type: ignore[method-assign]

    @property
    def speed(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds


def tokens_of(inputs: Any) -> int:
    """Counts the tokens that a trainer's step is given, padding excepted."""
    if not isinstance(inputs, dict):
        return int(inputs.tokens)
    mask = inputs.get("attention_mask")
    return int(mask.sum()) if mask is not None else inputs["input_ids"].numel()


def raw(setting: Setting, *, optimised: bool = False) -> float:
    """Forward and backward passes alone, with logits where there are labels: what none can pass.

    Args:
        setting: What is trained on.
        optimised: Whether gradients are clipped and taken by a fused AdamW, too: the least that a
            step is made of.

    Returns:
        Tokens a second.
    """
    model, dataset, clock = setting.make_model(), setting.encoded(), Clock()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, fused=True) if optimised else None
    plan = ForwardPlan(label_only=True, attention_mask=False)
    size = setting.answers_a_step
    sampler = StepSampler(dataset, batch_size=size, steps=setting.steps, seed=0)
    for number, step in enumerate(sampler, start=1):
        batch = PaddedRows().collate([dataset.part(part) for part in step.parts])
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=has_fast_bf16()):
            loss, _ = label_loss(model, batch, plan)
        loss.backward()
        if optimiser:
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimiser.step()
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
        batch_size=setting.answers_a_step,
        tuning=setting.tuning,
        checkpoint_interval=setting.steps,
    )
    return run_ours_timed(setting.make_model(), arguments, setting.encoded(), bf16=has_fast_bf16())


def run_ours_timed(
    model: Any, arguments: TuningArguments, examples: EncodedSet, *, bf16: bool
) -> float:
    """Tunes with this project's trainer, in its own settings, and returns tokens a second."""
    clock, sets = Clock(), TuningSets(examples, EncodedSet(None))
    base = TrainableModel(model, model.dtype, bf16)
    with tempfile.TemporaryDirectory() as folder:
        settings = decide_settings(arguments, base, sets, CheckpointDirectory(Path(folder)))
        trainer = LabelOnlyTrainer(model, settings, sets, Interruption(), [clock])
        clock.count(trainer)
        trainer.run(None)
    return clock.speed


def plain_trainer(setting: Setting) -> float:
    """transformers.Trainer with a padding collator."""
    data = setting.columns(
        input_ids=lambda row: row.input_ids.tolist(),
        labels=lambda row: np.where(learned(row), row.input_ids, -100).tolist(),
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
        input_ids=lambda row: row.input_ids.tolist(),
        completion_mask=lambda row: learned(row).tolist(),
    )
    arguments = setting.common_arguments()
    if packing:
        arguments |= {
            "packing": True,
            "max_length": BATCH * setting.texts.tokens,
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


RAW = "raw, label logits"
OURS = "ours"
PEERS: Mapping[str, Callable[[Setting], float]] = MappingProxyType(
    {
        "raw with AdamW": lambda setting: raw(setting, optimised=True),
        "Trainer": plain_trainer,
        "TRL": lambda setting: trl_trainer(setting, packing=False),
        "TRL packed": lambda setting: trl_trainer(setting, packing=True),
    }
)
CONTENDERS: Mapping[str, Callable[[Setting], float]] = MappingProxyType(
    {RAW: raw, OURS: ours, **PEERS}
)
