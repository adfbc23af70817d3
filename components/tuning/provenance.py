"""Where a tuned model comes from: the facts in its tuning.json and model card."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from pathlib import Path
from typing import Any

import torch

from kfp_llm_tuning.components.models import base_models, model_card
from kfp_llm_tuning.components.models.model_reference import ModelReference
from kfp_llm_tuning.components.tuning import memory, processes
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.trainable_model import TrainableModel
from kfp_llm_tuning.components.tuning.trainer import LabelOnlyTrainer
from kfp_llm_tuning.components.tuning.tuning_sets import TuningSets

_PACKAGES = ("kfp-llm-tuning", "torch", "transformers", "peft", "accelerate", "datasets")


def describe_model(reference: ModelReference, folder: Path, base: TrainableModel) -> dict[str, Any]:
    """Tells what was tuned.

    Args:
        reference: The base model.
        folder: Its checkpoint on this machine.
        base: The model as it was loaded.
    """
    return {
        "checkpoint": reference.checkpoint,
        "revision": base_models.resolved_revision(reference, folder),
        "substitute_for": reference.substitute_for,
        "license": reference.license or model_card.licence(folder),
        "dtype": str(base.dtype).removeprefix("torch."),
        "precision": "bf16" if base.bf16 else "fp32",
    }


def describe_data(sets: TuningSets) -> dict[str, Any]:
    """Tells what it was tuned and evaluated on."""
    kept = ("prompt_format", "max_input_tokens", "max_output_tokens")
    return {
        "dataset": sets.train.facts,
        "evaluation_dataset": sets.evaluation.facts,
        **{name: sets.train.facts[name] for name in kept},
    }


def describe_run(
    arguments: TuningArguments, trainer: LabelOnlyTrainer, best_step: int
) -> dict[str, Any]:
    """Tells how it was tuned, and with what success.

    Args:
        arguments: What was asked for.
        trainer: The trainer of a finished run.
        best_step: The step that is exported.
    """
    return {
        "display_name": arguments.display_name or arguments.model_reference,
        "model_reference": arguments.model_reference,
        "parameters": dataclasses.asdict(arguments),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "metrics": _metrics_at(trainer.state.log_history, best_step),
        "steps": trainer.state.global_step,
        "best_step": best_step,
        "seconds": round(trainer.run_state.seconds, 3),
        "peak_memory_bytes": memory.peak_bytes(trainer.args.device),
        "device": _device_name(trainer.args.device),
    }


def _metrics_at(history: list[dict[str, Any]], step: int) -> dict[str, float]:
    """The last values of every tag up to a step."""
    values: dict[str, float] = {}
    for entry in history:
        if entry["step"] <= step:
            values |= {tag: value for tag, value in entry.items() if tag.startswith("/")}
    return values


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} x {processes.count()}"
    return f"CPU, {torch.get_num_threads()} threads"
