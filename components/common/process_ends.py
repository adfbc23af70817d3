"""How a process ended that did not end by itself."""

from __future__ import annotations

import signal

# What a shell adds to the number of a signal that killed its program.
_SHELL_BASE = 128
# With these the system ends a program that does what it must not: nobody else sends them.
_CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)


def killing_signal(exit_code: int) -> signal.Signals | None:
    """Finds the signal that killed a process.

    Args:
        exit_code: As Popen gives it (negative for a signal), or as a shell or a container does
            (128 and the signal's number).

    Returns:
        The signal; None where the process ended by itself.
    """
    number = -exit_code if exit_code < 0 else exit_code - _SHELL_BASE
    try:
        return signal.Signals(number)
    except ValueError:
        return None


def describe_kill(killed_by: signal.Signals) -> str:
    """Writes by which signal a process was killed, and why that may be.

    Returns:
        The words, such as "killed by SIGKILL: memory may have run out".
    """
    hint = ": memory may have run out" if killed_by == signal.SIGKILL else ""
    return f"killed by {killed_by.name}{hint}"


def is_crash(exit_code: int) -> bool:
    """Tells whether a process crashed, rather than being ended from outside."""
    return killing_signal(exit_code) in _CRASHES
