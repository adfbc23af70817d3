"""Starts the command once for every accelerator of every machine, and ends as the copies end."""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import os
import signal
import socket
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from kfp_llm_tuning.components.common import processors
from kfp_llm_tuning.components.common.errors import (
    EXIT_INTERNAL_ERROR,
    EXIT_RUN_AGAIN,
    EXIT_USER_ERROR,
    Problem,
    RunAgain,
    UserError,
)
from kfp_llm_tuning.components.tuning import processes
from kfp_llm_tuning.components.tuning.interruption import RUN_PID_VARIABLE, Interruption
from kfp_llm_tuning.components.tuning.machines import Machines
from kfp_llm_tuning.components.tuning.publication import Publication

logger = logging.getLogger(__name__)

# How long interrupted processes may take to save and copy a checkpoint; whoever takes the machine
# away has a limit of its own.
_SECONDS_TO_SAVE = 600
# How long machines wait for one another: one may pull its image, or be got anew, while others wait.
_SECONDS_TO_MEET = 1800
_PAUSE_SECONDS = 1.0
# How long a machine whose processes have ended waits for those of the others, which end with them.
_SECONDS_TO_END = 15
# An address of documentation (RFC 5737): it is behind the default route.
_ANYWHERE = "192.0.2.1"
# How often the machines that are left wait for one that was lost: as often as Vertex AI starts a
# job again by itself.
_MOST_LOSSES = 6
# Ends of a process that was asked to end, that lost the others, or that NCCL ended for that.
_INTERRUPTED = {EXIT_RUN_AGAIN, -signal.SIGTERM, -signal.SIGABRT}


def processes_to_start(asked: int, batch_size: int, machines: Machines | None = None) -> int:
    """Decides how many processes of this machine share the batch.

    Args:
        asked: How many are asked for on each machine; 0 leaves it to the number of GPUs.
        batch_size: Examples in a step; every process needs one.
        machines: That the run is spread over; None for this one.

    Returns:
        The number; 1 in a process that was itself started as one of several.

    Raises:
        UserError: If there are more machines than examples in a step.
    """
    if processes.are_launched():
        return 1
    count = machines.count if machines else 1
    if batch_size < count:
        what = f"{count} machines share the {batch_size} examples of a step."
        raise UserError(Problem(what, "batch_size", f"{count} or more, or fewer machines"))
    return max(min(asked or torch.cuda.device_count(), batch_size // count), 1)


def launch(
    count: int,
    command: Sequence[str],
    variables: Mapping[str, str],
    machines: Machines | None = None,
    publication: Publication | None = None,
) -> None:
    """Runs a command in several processes that work together.

    On several machines it is called on each, and waits for the others. When one is lost, those that
    are left wait for it to come back, and all begin the command anew. They are left until the first
    has published what came of it.

    Args:
        count: How many on this machine.
        command: Arguments of the Python interpreter.
        variables: Environment variables of the processes beside this one's own.
        machines: That the processes are spread over; None for this one.
        publication: Tells machines that the results are in place.

    Raises:
        RunAgain: If they were interrupted after saving a checkpoint.
        UserError: If the other machines do not come.
        SystemExit: With the exit code of the first process that failed; it has told why.
    """
    started = _Launch(count, command, machines or Machines(), publication, Interruption())
    threads = str(max(processors.available() // count, 1))
    own_pid = str(os.getpid())
    defaults = {processors.THREADS_VARIABLE: threads, RUN_PID_VARIABLE: own_pid}
    os.environ.update(defaults | dict(os.environ) | dict(variables))
    os.environ[processes.LAUNCHER_VARIABLE] = own_pid
    codes = started.carry_out()
    if codes:
        raise _ending(codes)


@dataclass(frozen=True)
class _Launch:
    """What :func:`launch` is asked for."""

    count: int
    command: Sequence[str]
    machines: Machines
    publication: Publication | None
    interruption: Interruption

    def carry_out(self) -> set[int]:
        """Runs the processes, anew while other machines are lost; gives their exit codes."""
        codes: set[int] = set()
        for _ in range(_MOST_LOSSES + 1):
            codes = self._run_once()
            if self.machines.count == 1 or not codes <= _INTERRUPTED:
                break
            if not codes and (self.machines.is_first or self._is_published()):
                break
            # This machine was not asked to end: another was, or is gone.
            logger.warning(
                "Another of the %d machines was lost: waiting until it is back, to go on from the "
                "newest checkpoint.",
                self.machines.count,
            )
        return codes

    def _run_once(self) -> set[int]:
        """Runs the processes once; gives the exit codes of those that failed."""
        from torch.distributed.elastic.multiprocessing.api import SignalException
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

        try:
            with self.interruption.watching():
                self._meet_and_run()
        except SignalException as error:
            raise RunAgain(f"received {error.sigval.name}") from error
        except ChildFailedError as error:
            return {failure.exitcode for failure in error.failures.values()}
        finally:
            # The port of the meeting, which is over, is given back with the last of its objects.
            gc.collect()
        return set()

    def _meet_and_run(self) -> None:
        """Runs the processes; tries again to meet the other machines until their time is over.

        Where the others have published and ended, there is nothing left to run.
        """
        from torch.distributed import DistError
        from torch.distributed.elastic.rendezvous import RendezvousError
        from torch.distributed.launcher.api import elastic_launch

        until = time.monotonic() + _SECONDS_TO_MEET
        while not (self.publication and self.publication.is_announced()):
            try:
                if self.machines.is_first or self._first_answers():
                    configuration = _configuration(self.count, self.machines)
                    with _short_last_wait():
                        elastic_launch(configuration, sys.executable)(*self.command)
                    return
            except (RendezvousError, DistError):
                # The first machine still is what it was before another was lost.
                if self.machines.count == 1:
                    raise
                gc.collect()
            if time.monotonic() >= until:
                raise UserError(_nobody_came(self.machines))
            self._pause()

    def _is_published(self) -> bool:
        """Waits until the first machine has published, or is there anew to do it again.

        Returns:
            Whether there is nothing left to do: also where this machine cannot hear of it.
        """
        until = time.monotonic() + _SECONDS_TO_MEET
        with self.interruption.watching():
            while self.publication and self.publication.is_heard and time.monotonic() < until:
                if self.publication.is_announced():
                    return True
                self._pause()
                if self._first_answers():
                    return False
        return True

    def _first_answers(self) -> bool:
        """Tells whether the first machine listens where all meet; it may not be up yet."""
        place = self.machines.address, self.machines.port
        try:
            socket.create_connection(place, _PAUSE_SECONDS).close()
        except OSError:
            return False
        return True

    def _pause(self) -> None:
        time.sleep(_PAUSE_SECONDS)
        if self.interruption.requested:
            raise RunAgain(self.interruption.reason)


@contextlib.contextmanager
def _short_last_wait() -> Iterator[None]:
    """Has torch's launcher wait seconds for machines that were lost at the end, not five minutes.

    It has no argument for that; its agent has.
    """
    from torch.distributed.launcher import api

    agent = api.LocalElasticAgent
    shorter = functools.partial(agent, exit_barrier_timeout=_SECONDS_TO_END)
    api.LocalElasticAgent = shorter
    try:
        yield
    finally:
        api.LocalElasticAgent = agent


def _configuration(count: int, machines: Machines) -> object:
    from torch.distributed.launcher.api import LaunchConfig

    alone = machines.count == 1
    # Not every network lets a machine reach itself by the name that it has for others.
    host = "localhost" if machines.is_first else machines.address
    return LaunchConfig(
        min_nodes=machines.count,
        max_nodes=machines.count,
        nproc_per_node=count,
        run_id=uuid.uuid4().hex if alone else "kfp-llm-tuning",
        rdzv_backend="c10d",
        rdzv_endpoint=f"{host}:{machines.port}",
        rdzv_configs={} if alone else _meeting(machines),
        # c10d numbers machines in the order of these names; that of the first, which writes, is
        # where the processes of all find one another, at any port.
        local_addr=None if alone else _own_address() if machines.is_first else _later(machines),
        max_restarts=0,
        signals_to_handle="SIGTERM,SIGINT",
        shutdown_timeout=_SECONDS_TO_SAVE,
    )


def _meeting(machines: Machines) -> dict[str, object]:
    return {
        "is_host": machines.is_first,
        "join_timeout": _SECONDS_TO_MEET,
        "last_call_timeout": 1,
    }


def _own_address() -> str:
    """Finds the address that this machine has in its network; nothing is sent."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((_ANYWHERE, 1))
            return str(probe.getsockname()[0])
    except OSError:
        return socket.gethostname()


def _later(machines: Machines) -> str:
    """Names a machine so that it stands behind any address, and behind those before it."""
    return f"~{machines.index:06d}"


def _nobody_came(machines: Machines) -> Problem:
    what = (
        f"the {machines.count} machines did not meet at {machines.address}:{machines.port} in "
        f"{_SECONDS_TO_MEET // 60} minutes."
    )
    fix = "Look whether the same command was started on all, and whether they reach that port."
    return Problem(what, "machines", fix=fix)


def _ending(codes: set[int]) -> RunAgain | SystemExit:
    """Chooses among the exit codes: a mistake explains the ends of the others."""
    if EXIT_USER_ERROR in codes:
        return SystemExit(EXIT_USER_ERROR)
    if codes <= _INTERRUPTED:
        return RunAgain("the processes were interrupted")
    return SystemExit(EXIT_INTERNAL_ERROR)
