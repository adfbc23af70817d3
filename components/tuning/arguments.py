"""What one tuning run is asked to do: one frozen dataclass, its defaults, its JSON, its checks."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from kfp_llm_tuning.components.common.documents import parse_json, unknown_names
from kfp_llm_tuning.components.common.errors import Problem, UserError, raise_all
from kfp_llm_tuning.components.common.wording import short

TUNING_KINDS = ("adapter", "full")
SCHEDULES = ("linear", "cosine", "constant")
PRECISIONS = ("auto", "bf16", "fp32")


@dataclass(frozen=True)
class TuningArguments:
    """Arguments of the tuner; the payload of ``large-language-model-tuner`` is their JSON.

    Attributes:
        model_reference: The model to tune: a name of model_references.yaml, hf://, gs:// or a path.
        display_name: Name in the model card; empty means the model reference.
        train_steps: Optimiser steps, each of one batch; the set is cycled as often as needed.
        batch_size: Examples in one optimiser step, summed over all devices.
        micro_batch_size: Examples in one forward pass of one device; 0 finds what fits in memory.
        learning_rate: Peak learning rate, before the multiplier.
        learning_rate_multiplier: Factor on the learning rate.
        tuning: "adapter" trains LoRA matrices beside frozen weights, "full" trains every weight.
        lora_rank: Rank of the LoRA matrices.
        lora_alpha: LoRA scale; the update is multiplied by alpha / rank.
        lora_dropout: Dropout in front of the LoRA matrices.
        lora_target_modules: Comma-separated module names, or "all-linear".
        warmup_ratio: Share of the steps in which the learning rate rises from 0.
        schedule: "linear" or "cosine" decay to 0 after warm-up, or "constant".
        weight_decay: Decoupled weight decay (AdamW).
        adam_beta1: Decay of AdamW's mean of gradients.
        adam_beta2: Decay of AdamW's mean of squared gradients.
        max_grad_norm: Gradients are scaled down to this norm; 0 leaves them.
        precision: "bf16" or "fp32" arithmetic; "auto" is bf16 where the processor has it.
        seed: Seed of the order of examples, of dropout and of new weights.
        evaluation_interval: Steps between evaluations over the whole evaluation set.
        enable_early_stopping: Stop when the evaluation accuracy no longer rises.
        early_stopping_patience: Evaluations without a rise before it stops.
        early_stopping_tolerance: Relative rise that counts as one.
        enable_checkpoint_selection: Export the step of best evaluation accuracy, not the last.
        checkpoint_interval: Steps between checkpoints; 0 means about 20 checkpoints a run.
        logging_interval: Steps between values in TensorBoard and history.jsonl.
    """

    model_reference: str
    display_name: str = ""
    train_steps: int = 300
    batch_size: int = 8
    micro_batch_size: int = 0
    learning_rate: float = 2e-4
    learning_rate_multiplier: float = 1.0
    tuning: str = "adapter"
    lora_rank: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.0
    lora_target_modules: str = "all-linear"
    warmup_ratio: float = 0.05
    schedule: str = "cosine"
    weight_decay: float = 0.1
    adam_beta1: float = 0.9
    adam_beta2: float = 0.98
    max_grad_norm: float = 1.0
    precision: str = "auto"
    seed: int = 0
    evaluation_interval: int = 20
    enable_early_stopping: bool = False
    early_stopping_patience: int = 8
    early_stopping_tolerance: float = 0.001
    enable_checkpoint_selection: bool = False
    checkpoint_interval: int = 0
    logging_interval: int = 10

    def __post_init__(self) -> None:
        """Checks every field.

        Raises:
            UserError: With every problem found.
        """
        raise_all(_problems(self))

    @property
    def peak_learning_rate(self) -> float:
        """Learning rate after warm-up: the rate times its multiplier."""
        return self.learning_rate * self.learning_rate_multiplier

    @property
    def warmup_steps(self) -> int:
        """Steps in which the learning rate rises."""
        return math.ceil(self.warmup_ratio * self.train_steps)

    @property
    def steps_between_checkpoints(self) -> int:
        """Steps between checkpoints: by default a 20th of the run in whole evaluation intervals."""
        if self.checkpoint_interval:
            return self.checkpoint_interval
        intervals = math.ceil(self.train_steps / (20 * self.evaluation_interval))
        return intervals * self.evaluation_interval

    def to_json(self) -> str:
        """Writes the payload: every field, keys sorted."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str, overrides: Mapping[str, Any] | None = None) -> TuningArguments:
        """Reads a payload; fields that it leaves out take their defaults.

        Args:
            text: A JSON object.
            overrides: Values that take the place of the payload's.

        Returns:
            The checked arguments.

        Raises:
            UserError: With every problem found: unknown or missing fields, wrong types, values
                out of range.
        """
        values = parse_json(text, "payload")
        if not isinstance(values, dict):
            allowed = "a JSON object of tuner arguments"
            raise UserError(Problem(f"{short(values)} is no object.", "payload", allowed))
        return cls.from_values(values | dict(overrides or {}))

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> TuningArguments:
        """Makes arguments of a mapping; the same checks as :meth:`from_json`."""
        known = {field.name: field for field in dataclasses.fields(cls)}
        unknown = (name for name in values if name not in known)
        fix = f"There are {', '.join(known)}."
        problems = unknown_names(unknown, list(known), "unknown argument.", fix, "payload: ")
        if "model_reference" not in values:
            problems.append(Problem("model_reference is missing.", "payload"))
        if problems:
            raise UserError(*problems)
        return cls(**{name: _plain(value, name) for name, value in values.items()})


def _plain(value: Any, name: str) -> Any:
    """Undoes what JSON and kfp.local do to numbers: 8 may come as 8.0, 1.0 as 1."""
    kind = get_type_hints(TuningArguments)[name]
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind is float and type(value) is int:
        return float(value)
    return value


# Lower and upper bound, both included.
_RANGES: dict[str, tuple[float, float]] = {
    "train_steps": (1, 10_000_000),
    "batch_size": (1, 1_000_000),
    "micro_batch_size": (0, 1_000_000),
    "learning_rate": (0.0, 100.0),
    "learning_rate_multiplier": (0.0, 1e6),
    "lora_rank": (1, 4096),
    "lora_alpha": (1, 65_536),
    "lora_dropout": (0.0, 0.9),
    "warmup_ratio": (0.0, 1.0),
    "weight_decay": (0.0, 10.0),
    "adam_beta1": (0.0, 0.9999),
    "adam_beta2": (0.0, 0.999999),
    "max_grad_norm": (0.0, 1e9),
    "seed": (0, 2**32 - 1),
    "evaluation_interval": (1, 10_000_000),
    "early_stopping_patience": (1, 10_000),
    "early_stopping_tolerance": (0.0, 1.0),
    "checkpoint_interval": (0, 10_000_000),
    "logging_interval": (1, 10_000_000),
}
_CHOICES = {"tuning": TUNING_KINDS, "schedule": SCHEDULES, "precision": PRECISIONS}


def _problems(arguments: TuningArguments) -> list[Problem]:
    problems = []
    hints = get_type_hints(TuningArguments)
    for field in dataclasses.fields(arguments):
        value, kind = getattr(arguments, field.name), hints[field.name]
        if type(value) is not kind:
            problems.append(
                Problem(f"{short(value)} is no {kind.__name__}.", field.name, kind.__name__)
            )
        elif field.name in _RANGES:
            problems += _range_problems(field.name, value)
        elif field.name in _CHOICES and value not in _CHOICES[field.name]:
            allowed = ", ".join(_CHOICES[field.name])
            problems.append(Problem(f"{short(value)} is unknown.", field.name, allowed))
    if arguments.model_reference == "":
        problems.append(Problem("is empty.", "model_reference"))
    return problems


def _range_problems(name: str, value: float) -> list[Problem]:
    lower, upper = _RANGES[name]
    if lower <= value <= upper:  # NaN fails both comparisons
        return []
    return [Problem(f"{value!r} is out of range.", name, f"from {lower:g} up to {upper:g}")]
