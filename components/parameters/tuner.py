"""The arguments of the tuner: those that a root input decides, and all others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.parameters.pipeline import TEXT, TUNER_ARGUMENTS
from kfp_llm_tuning.components.parameters.reading import read
from kfp_llm_tuning.components.parameters.row import Parameter, row, rows_of, same_as

TUNING_KINDS = ("adapter", "full")
# What some arguments have no effect without.
ADAPTER = "adapter tuning (tuning_method adapter)"
EARLY_STOPPING = "early stopping and evaluation data"
TASK_ENVIRONMENT = "the variables of a task, which a CustomJob on Vertex AI does not get"
_MOST_STEPS = TEXT["train_steps"].maximum


@dataclass(frozen=True)
class TunerInputs:
    """Arguments of the tuner; the payload of ``large-language-model-tuner`` is their JSON."""

    model_reference: str = same_as(
        TEXT["large_model_reference"],
        default=None,
        help="The model to tune: a name of model_references.yaml, hf://, gs:// or a path.",
        allowed="a text that is not empty",
    )
    display_name: str = same_as(
        TEXT["model_display_name"],
        default="",
        help="Name in the model card; empty means the model reference.",
        allowed="",
    )
    train_steps: int = same_as(
        TEXT["train_steps"],
        help="Optimiser steps, each of one batch; the set is cycled as often as needed.",
        minimum=1,
        allowed="",
    )
    batch_size: int = row(
        8,
        help="Examples in one optimiser step, summed over all devices.",
        minimum=1,
        maximum=1_000_000,
        unit="examples",
        source="TrainingArguments.per_device_train_batch_size, of all devices",
        decided_by="the model's",
    )
    micro_batch_tokens: int = row(
        0,
        help="Tokens in one forward pass of one device, padding among them; a longer example has "
        "one of its own. 0 finds what fits in memory, on a CPU no more than make it faster.",
        minimum=0,
        maximum=100_000_000,
        unit="tokens",
        source="TrainingArguments.per_device_train_batch_size, in tokens",
    )
    learning_rate: float = same_as(
        TEXT["learning_rate"],
        default=2e-4,
        help="Peak learning rate, before the multiplier.",
        minimum=0,
        maximum=1,
        allowed="",
    )
    learning_rate_multiplier: float = same_as(
        TEXT["learning_rate_multiplier"], help="Factor on the learning rate."
    )
    tuning: str = same_as(
        TEXT["tuning_method"],
        default="adapter",
        help='"adapter" trains LoRA matrices beside frozen weights, "full" trains every weight.',
        choices=TUNING_KINDS,
    )
    lora_rank: int = row(
        16,
        help="Rank of the LoRA matrices.",
        minimum=1,
        maximum=4096,
        source="peft.LoraConfig.r",
        needs=ADAPTER,
    )
    lora_alpha: int = row(
        32,
        help="LoRA scale; the update is multiplied by alpha / rank.",
        minimum=1,
        maximum=65_536,
        source="peft.LoraConfig.lora_alpha",
        needs=ADAPTER,
    )
    lora_dropout: float = row(
        0.0,
        help="Dropout in front of the LoRA matrices.",
        minimum=0,
        maximum=0.9,
        source="peft.LoraConfig.lora_dropout",
        needs=ADAPTER,
    )
    lora_target_modules: str = row(
        "all-linear",
        help='Comma-separated module names, or "all-linear".',
        source="peft.LoraConfig.target_modules",
        needs=ADAPTER,
    )
    warmup_ratio: float = row(
        0.05,
        help="Share of the steps in which the learning rate rises from 0.",
        minimum=0,
        maximum=1,
        source="TrainingArguments.warmup_ratio",
    )
    schedule: str = row(
        "cosine",
        help='"linear" or "cosine" decay to 0 after warm-up, or "constant".',
        choices=("linear", "cosine", "constant"),
        source="TrainingArguments.lr_scheduler_type",
    )
    weight_decay: float = row(
        0.1,
        help="Decoupled weight decay (AdamW).",
        minimum=0,
        maximum=10,
        source="TrainingArguments.weight_decay",
    )
    adam_beta1: float = row(
        0.9,
        help="Decay of AdamW's mean of gradients.",
        minimum=0,
        maximum=0.9999,
        source="TrainingArguments.adam_beta1",
    )
    adam_beta2: float = row(
        0.98,
        help="Decay of AdamW's mean of squared gradients.",
        minimum=0,
        maximum=0.999999,
        source="TrainingArguments.adam_beta2",
    )
    max_grad_norm: float = row(
        1.0,
        help="Gradients are scaled down to this norm; 0 leaves them.",
        minimum=0,
        maximum=1e9,
        source="TrainingArguments.max_grad_norm",
    )
    precision: str = row(
        "auto",
        help='"bf16" or "fp32" arithmetic; "auto" is the one that the machine is faster in.',
        choices=("auto", "bf16", "fp32"),
        source="TrainingArguments.bf16",
    )
    sharding: str = row(
        "auto",
        help='"full" spreads weights, gradients and optimiser over the processes of a run, "none" '
        'gives each all; "auto" spreads them over GPUs that could not hold them.',
        choices=("auto", "none", "full"),
        source="transformers.distributed.DistributedConfig.fsdp_size",
    )
    load_in_4bit: bool = row(
        False,
        help="Keep the frozen weights in 4 bits while adapters are tuned (QLoRA); what is exported "
        "is merged into the weights as they were.",
        source="transformers.BitsAndBytesConfig.load_in_4bit",
        needs=ADAPTER,
    )
    seed: int = same_as(
        TEXT["seed"], help="Seed of the order of examples, of dropout and of new weights."
    )
    evaluation_interval: int = same_as(
        TEXT["evaluation_interval"],
        help="Steps between evaluations over the whole evaluation set.",
    )
    enable_early_stopping: bool = same_as(
        TEXT["enable_early_stopping"],
        default=False,
        help="Stop when the evaluation accuracy no longer rises.",
    )
    early_stopping_patience: int = row(
        8,
        help="Evaluations without a rise before it stops.",
        group="evaluation",
        minimum=1,
        maximum=10_000,
        unit="evaluations",
        source="EarlyStoppingCallback.early_stopping_patience",
        needs=EARLY_STOPPING,
    )
    early_stopping_tolerance: float = row(
        0.001,
        help="Relative rise that counts as one.",
        group="evaluation",
        minimum=0,
        maximum=1,
        source="EarlyStoppingCallback.early_stopping_threshold, relative",
        needs=EARLY_STOPPING,
    )
    enable_checkpoint_selection: bool = same_as(
        TEXT["enable_checkpoint_selection"],
        default=False,
        help="Export the step of best evaluation accuracy, not the last.",
        choices=(),
    )
    checkpoint_interval: int = row(
        0,
        help="Steps between checkpoints; 0 means about 20 checkpoints a run.",
        minimum=0,
        maximum=_MOST_STEPS,
        unit="steps",
        source="TrainingArguments.save_steps",
    )
    logging_interval: int = row(
        10,
        help="Steps between values in TensorBoard, history.jsonl and trackers.",
        minimum=1,
        maximum=_MOST_STEPS,
        unit="steps",
        source="TrainingArguments.logging_steps",
    )
    report_to: str = row(
        "",
        help='"wandb" reports the run to Weights & Biases, as WANDB_API_KEY, WANDB_PROJECT and '
        "WANDB_MODE say, beside MLflow.",
        choices=("", "wandb"),
        source="TrainingArguments.report_to",
        needs=TASK_ENVIRONMENT,
    )


ARGUMENTS: Mapping[str, Parameter] = rows_of(TunerInputs)
# Those that the root input tuner_arguments gives: no root input of their own decides them.
FURTHER_ARGUMENTS: Mapping[str, Parameter] = {
    name: argument for name, argument in ARGUMENTS.items() if not argument.root_input
}
_PLACE = f"{TUNER_ARGUMENTS}: "


def read_further(
    given: Mapping[str, Any], *, texts: bool = False
) -> tuple[dict[str, Any], list[Problem]]:
    """Reads the root input ``tuner_arguments``.

    Args:
        given: Arguments by name.
        texts: Whether a text may stand for a number or a boolean.

    Returns:
        Every argument whose value may be, and a problem for every other: one that a root input
        gives names that.
    """
    elsewhere = {name for name in given if name in ARGUMENTS and name not in FURTHER_ARGUMENTS}
    found, problems = read(
        {name: value for name, value in given.items() if name not in elsewhere},
        FURTHER_ARGUMENTS,
        what="unknown argument.",
        fix=f"There are {', '.join(FURTHER_ARGUMENTS)}.",
        place=_PLACE,
        texts=texts,
        limits=True,
    )
    return found, [*problems, *_of_root_inputs(elsewhere)]


def _of_root_inputs(names: set[str]) -> Iterator[Problem]:
    for name in sorted(names):
        root_input = ARGUMENTS[name].root_input
        yield Problem("is decided by a root input.", _PLACE + name, fix=f"Give {root_input}.")
