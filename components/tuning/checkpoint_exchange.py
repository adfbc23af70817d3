"""Lets the processes of several machines go on from one checkpoint, wherever its files are.

Machines see the same folder, or each has a disk of its own. Then only the first has what the last
session wrote, one that was got anew has what was copied to the run's URI, and the newest of all
counts: it is handed to the others by the processes themselves.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.tuning import processes
from kfp_llm_tuning.components.tuning.checkpoints import Checkpoint, CheckpointDirectory

logger = logging.getLogger(__name__)

# How much of a file is handed over at once.
_PART_BYTES = 64 * 2**20


def newest_of_all(checkpoints: CheckpointDirectory) -> Checkpoint | None:
    """Finds the newest whole checkpoint of any machine, and brings it to all.

    Args:
        checkpoints: Those of this machine.

    Returns:
        The checkpoint on this machine; None where no machine has one. Every process must call it.
    """
    if processes.machines() == 1:
        return checkpoints.newest()
    newest = checkpoints.newest() if processes.local_index() == 0 else None
    step = max(_told_by_all(newest.step if newest else 0))
    return on_all(checkpoints, step) if step else None


def on_all(checkpoints: CheckpointDirectory, step: int) -> Checkpoint | None:
    """Brings the checkpoint of one step to the machines that lack it.

    Args:
        checkpoints: Those of this machine.
        step: Which one.

    Returns:
        The checkpoint on this machine; None where no machine has it. Every process must call it.
    """
    if processes.machines() == 1:
        return checkpoints.at(step)
    speaks = processes.local_index() == 0
    has = speaks and checkpoints.at(step) is not None
    holders = [rank for rank, held in enumerate(_told_by_all(has)) if held]
    lacking = _told_by_all(speaks and not has)
    if holders and any(lacking):
        _hand_over(checkpoints, step, holders[0], receives=speaks and not has)
    return checkpoints.at(step)


def _hand_over(checkpoints: CheckpointDirectory, step: int, source: int, *, receives: bool) -> None:
    """Sends a checkpoint's files from one process to all; those that lack it write them."""
    sends = processes.index() == source
    folder = checkpoints.begin(step) if receives else None
    found = checkpoints.at(step) if sends else None
    parts = _parts(found.path) if found else iter(())
    while (part := _told_by_one(next(parts, None), source)) is not None:
        if folder is not None:
            name, content = part
            with (folder / name).open("ab") as stream:
                stream.write(content)
    if receives:
        reason = checkpoints.adopt(step)
        if reason:
            logger.warning("The checkpoint of step %d came damaged: %s.", step, reason)
        else:
            logger.info("Took over the checkpoint of step %d from another machine.", step)
    _told_by_all(None)


def _parts(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.iterdir()):
        with path.open("rb") as stream:
            yield path.name, stream.read(_PART_BYTES)
            while more := stream.read(_PART_BYTES):
                yield path.name, more


def _told_by_all(value: Any) -> list[Any]:
    import torch

    processes.join()
    told: list[Any] = [None] * processes.count()
    torch.distributed.all_gather_object(told, value)
    return told


def _told_by_one(value: Any, source: int) -> Any:
    import torch

    told = [value]
    torch.distributed.broadcast_object_list(told, source)
    return told[0]
