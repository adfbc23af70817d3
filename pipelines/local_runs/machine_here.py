"""What this machine holds of a run, and what it would have to download first."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

import psutil

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.models.base_models import has_weights_here
from kfp_llm_tuning.components.models.devices import CPU, Device, device_named
from kfp_llm_tuning.components.models.feasibility import Setup, verdict
from kfp_llm_tuning.components.models.model_reference import ModelReference
from kfp_llm_tuning.components.models.model_shapes import ModelShape, shape_of
from kfp_llm_tuning.components.validation.machine_memory import memory_findings, method_of

logger = logging.getLogger(__name__)

_INPUT = "large_model_reference"
# Weights that no GPU is looked for, which takes seconds, where memory holds a run with them.
_SMALL = 1_000_000_000
# Less is downloaded without a question.
_ASKED_BYTES = 5_000_000_000
_BYTES_PER_WEIGHT = 2


def memory_problems(reference: ModelReference, tuner_arguments: Mapping[str, Any]) -> list[Problem]:
    """Checks that this machine holds a run; logs a doubt.

    Tuning needs the most of all tasks: predictions and evaluation hold the weights alone, and these
    come one after the other.

    Args:
        reference: The model.
        tuner_arguments: The root input.

    Returns:
        What stands against it; nothing where the model's sizes are not known.
    """
    shape = shape_of(reference.checkpoint)
    if shape is None:
        return []
    method = method_of(reference, dict(tuner_arguments))
    setup = Setup(
        shape, method, _processors(), sharding=str(tuner_arguments.get("sharding", "auto"))
    )
    if not (shape.weights < _SMALL and verdict(setup).fits):
        setup = _with_gpus(setup)
    found = memory_findings(setup, _INPUT, chooses_machine=False, where="this machine")
    for doubt in found.warnings:
        logger.warning("%s", doubt)
    return found.problems


def download_bytes(reference: ModelReference) -> int:
    """Says how much of a model is to be downloaded.

    Args:
        reference: The model.

    Returns:
        Bytes of its weights in 16 bits; 0 where they are here, or too few to ask about.
    """
    shape: ModelShape | None = shape_of(reference.checkpoint)
    size = shape.weights * _BYTES_PER_WEIGHT if shape else 0
    if size < _ASKED_BYTES or has_weights_here(reference):
        return 0
    return size


def _processors() -> Device:
    found = device_named(CPU)
    assert found
    return _with_memory(found, psutil.virtual_memory().total)


def _with_gpus(setup: Setup) -> Setup:
    """Takes the GPUs of this machine in the place of its processors, if there are any."""
    import torch

    if not torch.cuda.is_available():
        return setup
    count = torch.cuda.device_count()
    least = min(torch.cuda.get_device_properties(one).total_memory for one in range(count))
    gpu = dataclasses.replace(_with_memory(setup.device, least), cuda=True)
    return dataclasses.replace(setup, device=gpu, devices=count)


def _with_memory(device: Device, size: float) -> Device:
    return dataclasses.replace(device, memory=float(size))
