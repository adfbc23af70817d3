"""Starts the command once for every accelerator of this machine, and ends as the copies end."""

from __future__ import annotations

import os
import signal
import sys
import uuid
from collections.abc import Mapping, Sequence

import torch

from kfp_llm_tuning.components.common import processors
from kfp_llm_tuning.components.common.errors import (
    EXIT_INTERNAL_ERROR,
    EXIT_RUN_AGAIN,
    EXIT_USER_ERROR,
    RunAgain,
)
from kfp_llm_tuning.components.tuning import processes
from kfp_llm_tuning.components.tuning.interruption import RUN_PID_VARIABLE

# How long interrupted processes may take to save and copy a checkpoint; whoever takes the machine
# away has a limit of its own.
_SECONDS_TO_SAVE = 600


def processes_to_start(asked: int, batch_size: int) -> int:
    """Decides how many processes share the batch.

    Args:
        asked: How many are asked for; 0 leaves it to the number of GPUs.
        batch_size: Examples in a step; every process needs one.

    Returns:
        The number; 1 in a process that was itself started as one of several.
    """
    if processes.are_launched():
        return 1
    return max(min(asked or torch.cuda.device_count(), batch_size), 1)


def launch(count: int, command: Sequence[str], variables: Mapping[str, str]) -> None:
    """Runs a command in several processes that work together.

    Args:
        count: How many.
        command: Arguments of the Python interpreter.
        variables: Environment variables of the processes beside this one's own.

    Raises:
        RunAgain: If they were interrupted after saving a checkpoint.
        SystemExit: With the exit code of the first process that failed; it has told why.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        signals_to_handle="SIGTERM,SIGINT",
        shutdown_timeout=_SECONDS_TO_SAVE,
    )
    threads = str(max(processors.available() // count, 1))
    own_pid = str(os.getpid())
    defaults = {processors.THREADS_VARIABLE: threads, RUN_PID_VARIABLE: own_pid}
    os.environ.update(defaults | dict(os.environ) | dict(variables))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        elastic_launch(config, sys.executable)(*command)
    except SignalException as error:
        raise RunAgain(f"received {error.sigval.name}") from error
    except ChildFailedError as error:
        raise _ending({failure.exitcode for failure in error.failures.values()}) from error
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _ending(codes: set[int]) -> RunAgain | SystemExit:
    """Chooses among the exit codes: a mistake explains the ends of the others."""
    if EXIT_USER_ERROR in codes:
        return SystemExit(EXIT_USER_ERROR)
    if codes <= {EXIT_RUN_AGAIN, -signal.SIGTERM}:
        return RunAgain("the processes were interrupted")
    return SystemExit(EXIT_INTERNAL_ERROR)
