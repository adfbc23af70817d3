"""Checkpoints of weights that processes share: torch.distributed.checkpoint, every process its own.

The files say of each tensor which part of the whole they hold, so that any other number of
processes reads them, one that shares nothing included, bit for bit; and processes that share a
model read a checkpoint of one that did not.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from kfp_llm_tuning.components.models.sharded_model import settle
from kfp_llm_tuning.components.tuning import processes
from kfp_llm_tuning.components.tuning.file_exchange import send_file, told_by_all, told_by_one

# torch.distributed.checkpoint's own: without it there is none.
_METADATA = ".metadata"
_BY_NAME = StateDictOptions(flatten_optimizer_state_dict=True)


def holds_shared_states(checkpoint: Path) -> bool:
    """Tells whether processes that share a model wrote a checkpoint."""
    return (checkpoint / _METADATA).exists()


def writers() -> Any:
    """Makes the group that writes: beside the trainer's own, so that both can work at once."""
    return torch.distributed.new_group(backend="gloo")


def shared_states(model: Any, optimizer: Any) -> dict[str, Any]:
    """Names what a checkpoint holds of a run that trains a sharded model, by weights' names.

    Args:
        model: The model, settled.
        optimizer: torch's own.

    Returns:
        Of each tensor this process's shard; not copied.
    """
    return {
        "model": _weights_once(model),
        "optimizer": get_optimizer_state_dict(model, optimizer, options=_BY_NAME),
    }


def write_shared(states: Mapping[str, Any], folder: Path, group: Any) -> None:
    """Writes this process's part; when it returns in the first process, all is written.

    Args:
        states: Of :func:`shared_states`, or a copy.
        folder: Where the first process has begun a checkpoint. Machines may see the same one, or
            one of that name each.
        group: Of :func:`writers`; every process must call this.
    """
    dcp.save(dict(states), checkpoint_id=folder, process_group=group)
    if processes.machines() > 1:
        _hand_to_first(folder, group)


def _hand_to_first(folder: Path, group: Any) -> None:
    """Sends what stands on other machines' disks to the first process, and deletes it there."""
    own = [path.name for path in folder.glob(f"__{processes.index()}_*")]
    named = told_by_all(own, group)
    absent = [[name for name in names if not (folder / name).exists()] for names in named]
    absent = told_by_one(absent, 0, group)
    for sender, names in enumerate(absent):
        has_or_takes = processes.is_main() or processes.index() == sender
        for name in names:
            send_file(folder / name if has_or_takes else None, sender, group)
    # Others of this machine have sent theirs too.
    torch.distributed.barrier(group)
    if absent[processes.index()]:
        shutil.rmtree(folder, ignore_errors=True)


def read_weights(model: Any, checkpoint: Path) -> None:
    """Reads weights into a model; every process must call it.

    Args:
        model: The model, sharded or not; not wrapped.
        checkpoint: Of processes that share a model, or a model's own safetensors.
    """
    settle(model)
    weights = _weights_once(model)
    if holds_shared_states(checkpoint):
        _load({"model": weights}, checkpoint)
    else:
        _load(weights, checkpoint, dcp.HuggingFaceStorageReader(str(checkpoint)))


def read_optimizer(model: Any, optimizer: Any, checkpoint: Path, whole: Path) -> None:
    """Reads the optimiser's state; every process must call it.

    Args:
        model: The model, sharded or not; not wrapped.
        optimizer: torch's own.
        checkpoint: Where :func:`write_shared` wrote, or another.
        whole: The file that another holds in the place: the optimiser's own ``state_dict()``.
    """
    if not holds_shared_states(checkpoint):
        everything = _by_name(model, optimizer, torch.load(whole, mmap=True))
        options = StateDictOptions(full_state_dict=True)
        set_optimizer_state_dict(model, optimizer, everything, options=options)
        return
    state = get_optimizer_state_dict(model, optimizer, options=_BY_NAME)
    _load({"optimizer": state}, checkpoint)
    set_optimizer_state_dict(model, optimizer, state, options=_BY_NAME)


def _load(states: dict[str, Any], checkpoint: Path, reader: Any = None) -> None:
    dcp.load(states, checkpoint_id=None if reader else checkpoint, storage_reader=reader)


def _weights_once(model: Any) -> dict[str, torch.Tensor]:
    """Gives the weights by name, those that stand in two places under one of them."""
    tied = model.all_tied_weights_keys
    return {name: weight for name, weight in model.state_dict().items() if name not in tied}


def _by_name(model: Any, optimizer: Any, state: Mapping[str, Any]) -> dict[str, Any]:
    """Puts names in the place of the numbers by which an optimiser knows its weights."""
    name_of = {id(weight): name for name, weight in model.named_parameters()}
    names = [name_of[id(w)] for group in optimizer.param_groups for w in group["params"]]
    return {
        "state": {names[number]: value for number, value in state["state"].items()},
        "param_groups": [
            {**group, "params": [names[number] for number in group["params"]]}
            for group in state["param_groups"]
        ],
    }
