"""Lets the processes of several machines go on from one checkpoint, wherever its files are.

Machines see the same folder, or each has a disk of its own. Then only the first has what the last
session wrote, one that was got anew has what was copied to the run's URI, and the newest of all
counts: it is handed to the others by the processes themselves.
"""

from __future__ import annotations

import logging

from kfp_llm_tuning.components.common.errors import RunAgain
from kfp_llm_tuning.components.tuning import processes
from kfp_llm_tuning.components.tuning.checkpoints import Checkpoint, CheckpointDirectory
from kfp_llm_tuning.components.tuning.file_exchange import send_file, told_by_all, told_by_one

logger = logging.getLogger(__name__)


def newest_of_all(checkpoints: CheckpointDirectory) -> Checkpoint | None:
    """Finds the newest whole checkpoint of any machine, and brings it to all.

    Args:
        checkpoints: Those of this machine.

    Returns:
        The checkpoint on this machine; None where no machine has one. Every process must call it.

    Raises:
        RunAgain: If it comes damaged to a machine.
    """
    if processes.count() == 1:
        return checkpoints.newest()
    newest = checkpoints.newest() if _speaks() else None
    step = max(told_by_all(newest.step if newest else 0))
    return _on_all(checkpoints, step, has=newest is not None and newest.step == step)


def on_all(checkpoints: CheckpointDirectory, step: int) -> Checkpoint | None:
    """Brings the checkpoint of one step to the machines that lack it.

    Args:
        checkpoints: Those of this machine.
        step: Which one.

    Returns:
        The checkpoint on this machine; None where no machine has it. Every process must call it.

    Raises:
        RunAgain: If it comes damaged to a machine.
    """
    if processes.count() == 1:
        return checkpoints.at(step)
    return _on_all(checkpoints, step, has=_speaks() and checkpoints.at(step) is not None)


def _speaks() -> bool:
    """Tells whether this process reads the files, which takes minutes, for all of its machine."""
    return processes.local_index() == 0


def _on_all(checkpoints: CheckpointDirectory, step: int, *, has: bool) -> Checkpoint | None:
    holders = [rank for rank, held in enumerate(told_by_all(has)) if held]
    if not holders:
        return None
    receives = _speaks() and not has
    if any(told_by_all(receives)):
        _hand_over(checkpoints, step, holders[0], receives=receives)
    return checkpoints.named(step)


def _hand_over(checkpoints: CheckpointDirectory, step: int, source: int, *, receives: bool) -> None:
    """Sends a checkpoint's files from one process to all; those that lack it write them."""
    folder = checkpoints.begin(step) if receives else None
    names: list[str] = []
    if processes.index() == source:
        folder = checkpoints.named(step).path
        names = sorted(path.name for path in folder.iterdir())
    for name in told_by_one(names, source):
        send_file(folder / name if folder else None, source)
    reason = checkpoints.adopt(step) if receives else ""
    if receives and not reason:
        logger.info("Took over the checkpoint of step %d from another machine.", step)
    # Machines that went on from different steps would wait for one another for ever.
    if damages := [told for told in told_by_all(reason) if told]:
        raise RunAgain(f"the checkpoint of step {step} came damaged to a machine: {damages[0]}")
