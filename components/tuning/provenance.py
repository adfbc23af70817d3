"""Where a tuned model comes from: the facts in its tuning.json and model card."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.models import base_models, model_card
from kfp_llm_tuning.components.models.model_reference import ModelReference
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.engine import Computation, EngineRun
from kfp_llm_tuning.components.tuning.tuning_sets import TuningSets

_PACKAGE = "kfp-llm-tuning"


def describe_model(
    reference: ModelReference, folder: Path, computation: Computation
) -> dict[str, Any]:
    """Tells what was tuned.

    Args:
        reference: The base model.
        folder: Its checkpoint on this machine.
        computation: How the run computed.
    """
    return {
        "checkpoint": reference.checkpoint,
        "revision": base_models.resolved_revision(reference, folder),
        "substitute_for": reference.substitute_for,
        "license": reference.license or model_card.licence(folder),
        "dtype": computation.dtype,
        "precision": "bf16" if computation.bf16 else "fp32",
    }


def describe_data(sets: TuningSets) -> dict[str, Any]:
    """Tells what it was tuned and evaluated on."""
    kept = ("prompt_format", "max_input_tokens", "max_output_tokens")
    return {
        "dataset": sets.train.facts,
        "evaluation_dataset": sets.evaluation.facts,
        **{name: sets.train.facts[name] for name in kept},
    }


def describe_run(arguments: TuningArguments, run: EngineRun, best_step: int) -> dict[str, Any]:
    """Tells how it was tuned, and with what success.

    Args:
        arguments: What was asked for.
        run: A finished run.
        best_step: The step that is exported.
    """
    packages = (_PACKAGE, *run.computation.packages)
    return {
        "display_name": arguments.display_name or arguments.model_reference,
        "model_reference": arguments.model_reference,
        "parameters": dataclasses.asdict(arguments),
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "metrics": _metrics_at(run.state.log_history, best_step),
        "steps": run.state.global_step,
        "best_step": best_step,
        "seconds": round(run.run_state.seconds, 3),
        "peak_memory_bytes": run.peak_memory_bytes(),
        "device": run.computation.device,
    }


def _metrics_at(history: list[dict[str, Any]], step: int) -> dict[str, float]:
    """The last values of every tag up to a step."""
    values: dict[str, float] = {}
    for entry in history:
        if entry["step"] <= step:
            values |= {tag: value for tag, value in entry.items() if tag.startswith("/")}
    return values
