"""This process among those of a run, as torch.distributed.run tells it in the environment."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kfp_llm_tuning.components.common.errors import EXIT_RUN_AGAIN

if TYPE_CHECKING:
    import torch

# The process that started this one; set by it.
LAUNCHER_VARIABLE = "KFP_LLM_TUNING_LAUNCHER_PID"
_LOOK_SECONDS = 1.0


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


def is_abandoned() -> bool:
    """Tells whether the process that started this one as one of several is gone."""
    launcher = os.environ.get(LAUNCHER_VARIABLE)
    return are_launched() and launcher is not None and os.getppid() != int(launcher)


def join() -> None:
    """Joins the other processes, as the trainer does if nobody has before."""
    import torch
    from accelerate import PartialState

    with ending_if_abandoned():
        PartialState(cpu=not torch.cuda.is_available())


@contextmanager
def ending_if_abandoned() -> Iterator[None]:
    """Ends this process, to be run again, if that which started it is gone while the block runs.

    Processes meet through the launcher: without it torch waits half an hour, deaf to signals, and
    holds its accelerator.
    """
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_LOOK_SECONDS):
            if is_abandoned():
                os._exit(EXIT_RUN_AGAIN)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()


def any_of_all(value: bool) -> bool:
    """Tells whether something is so in any process; every process must call it."""
    if count() == 1:
        return value
    import torch

    flag = torch.tensor(float(value), device=device())
    torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
    return bool(flag.item())


def device() -> torch.device:
    """Names the accelerator of this process, or the processor where there is none."""
    import torch

    cuda = torch.cuda.is_available()
    return torch.device("cuda", local_index()) if cuda else torch.device("cpu")
