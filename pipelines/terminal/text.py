"""What people read of runs and jobs, alike wherever they run."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.text import Text


def output_console() -> Console:
    """Makes a console for standard output as it is now: kfp.local runs with it redirected.

    A notebook gets the lines of a log: as HTML each would be an output of its own, and it passes
    for a terminal without being able to take a line back.
    """
    is_notebook = type(sys.stdout).__module__.startswith("ipykernel.")
    return Console(
        file=sys.stdout,
        force_jupyter=False,
        force_interactive=False if is_notebook else None,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
    )


def task_line(mark: str, style: str, name: str, took: str) -> Text:
    """Makes the line of a task that has ended, which a terminal of 60 columns has room for.

    Args:
        mark: One character for its state.
        style: Of the mark.
        name: The task's.
        took: Its time, or what stands in its place.
    """
    return Text.assemble("  ", (mark, style), f" {name:<34} {took:>11}")


def format_seconds(seconds: float, *, whole: bool = False) -> str:
    """Writes a time for people: ``0.4 s``, ``2 min 05 s``, ``1 h 02 min``.

    Args:
        seconds: Not negative.
        whole: Whether to leave out tenths, as of an estimate.

    Returns:
        The text.
    """
    if seconds < 60:
        return f"{seconds:.0f} s" if whole else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"
