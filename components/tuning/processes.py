"""This process among those of a run, as torch.distributed.run tells it in the environment."""

from __future__ import annotations

import os


def count() -> int:
    """Counts the processes of the run."""
    return int(os.environ.get("WORLD_SIZE", 1))


def machines() -> int:
    """Counts the machines that they are on."""
    return int(os.environ.get("GROUP_WORLD_SIZE", 1))


def index() -> int:
    """Numbers this process among all."""
    return int(os.environ.get("RANK", 0))


def is_main() -> bool:
    """Tells whether this is the process that writes."""
    return index() == 0


def local_index() -> int:
    """Numbers this process among those of its machine: the accelerator that it takes."""
    return int(os.environ.get("LOCAL_RANK", 0))


def are_launched() -> bool:
    """Tells whether this process was started as one of several."""
    return "RANK" in os.environ
