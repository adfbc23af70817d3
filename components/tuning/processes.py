"""This process among those of a run, as torch.distributed.run tells it in the environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


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


def join() -> None:
    """Joins the other processes, as the trainer does if nobody has before."""
    import torch
    from accelerate import PartialState

    PartialState(cpu=not torch.cuda.is_available())


def device() -> torch.device:
    """Names the accelerator of this process, or the processor where there is none."""
    import torch

    cuda = torch.cuda.is_available()
    return torch.device("cuda", local_index()) if cuda else torch.device("cpu")
