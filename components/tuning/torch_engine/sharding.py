"""Whether a run's processes share its weights, or each holds them all."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from kfp_llm_tuning.components.models.checkpoint_files import local_files
from kfp_llm_tuning.components.models.footprint import Weights, is_to_be_shared, state_bytes
from kfp_llm_tuning.components.models.weights import read_tensors
from kfp_llm_tuning.components.tuning import processes
from kfp_llm_tuning.components.tuning.arguments import TuningArguments

logger = logging.getLogger(__name__)


def decides_to_shard(arguments: TuningArguments, folder: Path, *, bf16: bool) -> bool:
    """Decides, in every process alike, and logs the reason.

    Args:
        arguments: ``sharding``: "full" and "none" are obeyed; "auto" shards where one device would
            not hold the run. A processor never shards by itself: its processes share one memory.
        folder: The base model.
        bf16: Whether the run computes in bfloat16.

    Returns:
        Whether to shard.
    """
    sharded, reason = _decision(arguments, folder, bf16=bf16)
    if processes.count() > 1 and processes.is_main():
        spread = f"over {processes.count()} processes" if sharded else "by no process"
        logger.info("Weights are shared %s: %s.", spread, reason)
    return sharded


def _decision(arguments: TuningArguments, folder: Path, *, bf16: bool) -> tuple[bool, str]:
    asked = arguments.sharding
    if processes.count() == 1:
        return False, "there is one"
    if asked != "auto":
        return asked == "full", f"sharding is {asked}"
    if arguments.load_in_4bit:
        return False, "the model is loaded in 4 bits"
    if not torch.cuda.is_available():
        return False, "there is no GPU"
    needed = _state_of(arguments, folder, bf16=bf16)
    memory = _smallest_device()
    told = f"{needed / 2**30:.1f} GiB of weights, gradients and optimiser, {memory / 2**30:.1f}"
    return is_to_be_shared(needed, memory), f"{told} GiB on a device"


def _state_of(arguments: TuningArguments, folder: Path, *, bf16: bool) -> float:
    """Counts the bytes of each process where none is shared; adapters are left out."""
    tensors = read_tensors(local_files(folder), folder.name)
    count = sum(torch.Size(tensor.shape).numel() for tensor in tensors.values())
    full = arguments.tuning == "full"
    weights = Weights(trained=count if full else 0, frozen=0 if full else count)
    return state_bytes(weights, processes=processes.count(), frozen_bytes=2 if bf16 else 4)


def _smallest_device() -> int:
    """Asks all processes: they must decide alike."""
    own = torch.cuda.get_device_properties(processes.local_index()).total_memory
    sizes: list[int] = [0] * processes.count()
    processes.join()
    torch.distributed.all_gather_object(sizes, own)
    return min(sizes)
