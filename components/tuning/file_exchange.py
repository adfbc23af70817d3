"""Sends values and files from one process of a run to the others, whose disks may be others."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.tuning import processes

# How much of a file is sent at once.
_PART_BYTES = 64 * 2**20


def told_by_all(value: Any, group: Any = None) -> list[Any]:
    """Tells every process a value of each; every process must call it.

    Args:
        value: This process's own; anything that can be pickled.
        group: Of processes; None for the trainer's own.

    Returns:
        The values, in the order of the processes.
    """
    import torch

    processes.join()
    told: list[Any] = [None] * processes.count()
    torch.distributed.all_gather_object(told, value, group)
    return told


def told_by_one(value: Any, source: int, group: Any = None) -> Any:
    """Tells every process a value of one; every process must call it.

    Args:
        value: In the source, what is told; not looked at elsewhere.
        source: Which process tells.
        group: Of processes; None for the trainer's own.
    """
    import torch

    told = [value]
    torch.distributed.broadcast_object_list(told, source, group)
    return told[0]


def send_file(path: Path | None, source: int, group: Any = None) -> None:
    """Copies a file of one process to others, in parts; every process must call it.

    Args:
        path: In the source, the file; where it goes in those that take it; None in the others.
        source: Which process sends.
        group: Of processes; None for the trainer's own.
    """
    sends = processes.index() == source
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(path.open("rb" if sends else "wb")) if path else None
        while part := told_by_one(
            stream.read(_PART_BYTES) if stream and sends else b"", source, group
        ):
            if stream and not sends:
                stream.write(part)
