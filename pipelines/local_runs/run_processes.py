"""Processes of a run on this machine: asked to end, ended, found where a killed run left them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

# Each task's process carries the folder of its run, so that one left behind by a killed run can
# be told from all others.
RUN_VARIABLE = "KFP_LLM_TUNING_RUN"


def terminate(processes: list[psutil.Process]) -> None:
    """Asks processes to end; those already gone are passed over."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()


def kill(processes: list[psutil.Process]) -> None:
    """Ends processes at once; those already gone are passed over."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def stop_left_behind(*directories: Path | str, patience_seconds: float = 60.0) -> int:
    """Ends the processes of a run whose runner was killed, so that a new one may take over.

    Args:
        directories: The run's folder, as it is called and as it was called before.
        patience_seconds: How long they may take to save their state before they are killed.

    Returns:
        How many there were.
    """
    names = {str(directory) for directory in directories}
    left = [process for process in psutil.process_iter() if _run_of(process) in names]
    terminate(left)
    _, alive = psutil.wait_procs(left, timeout=patience_seconds)
    kill(alive)
    psutil.wait_procs(alive)
    return len(left)


def _run_of(process: psutil.Process) -> str:
    try:
        return str(process.environ().get(RUN_VARIABLE, ""))
    except (psutil.Error, OSError):
        return ""
