"""What this machine holds of a run, and what it would have to download first."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.common.host_memory import host_memory
from kfp_llm_tuning.components.models.base_models import has_weights_here
from kfp_llm_tuning.components.models.devices import CPU, Device, device_named
from kfp_llm_tuning.components.models.disk_needs import FILE_BYTES, disk_needs
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


def disk_problems(
    reference: ModelReference, tuner_arguments: Mapping[str, Any], output_dir: Path
) -> list[Problem]:
    """Checks that the disks of this machine hold a run.

    Args:
        reference: The model.
        tuner_arguments: The root input.
        output_dir: Takes checkpoints, the tuned model, and its copy in the registry.

    Returns:
        A problem for each disk that is too small; nothing where the model's sizes are not known.
    """
    shape = shape_of(reference.checkpoint)
    if shape is None:
        return []
    needs = disk_needs(shape, method_of(reference, dict(tuner_arguments)))
    # A run's result lies in its folder and, once more, in the registry.
    parts = [("checkpoints and tuned model", output_dir, needs.checkpoints + 2 * needs.tuned)]
    if not has_weights_here(reference):
        parts.append(("base model", _hub_cache(), needs.base))
    return list(_disks_too_small(parts))


def _disks_too_small(parts: list[tuple[str, Path, int]]) -> Iterator[Problem]:
    """Sums up what each disk is to take, and compares it with what is free there."""
    disks: dict[int, list[tuple[str, Path, int]]] = {}
    for name, folder, size in parts:
        there = _existing(folder)
        disks.setdefault(there.stat().st_dev, []).append((name, there, size))
    for members in disks.values():
        needed = sum(size for _, _, size in members)
        free = shutil.disk_usage(members[0][1]).free
        if needed <= free:
            continue
        said = ", ".join(f"{name} {size / 1e9:,.1f} GB in {there}" for name, there, size in members)
        what = (
            f"the run needs about {needed / 1e9:,.1f} GB of disk ({said}); "
            f"{free / 1e9:,.1f} are free."
        )
        fix = "Free some, choose a folder on a larger disk, or tune a smaller model."
        yield Problem(what, "output_dir", fix=fix)


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    return next(parent for parent in (folder, *folder.parents) if parent.exists())


def _hub_cache() -> Path:
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def download_bytes(reference: ModelReference) -> int:
    """Says how much of a model is to be downloaded.

    Args:
        reference: The model.

    Returns:
        Bytes of its weights in 16 bits; 0 where they are here, or too few to ask about.
    """
    shape: ModelShape | None = shape_of(reference.checkpoint)
    size = shape.weights * FILE_BYTES if shape else 0
    if size < _ASKED_BYTES or has_weights_here(reference):
        return 0
    return size


def _processors() -> Device:
    found = device_named(CPU)
    assert found
    return _with_memory(found, host_memory().total)


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
