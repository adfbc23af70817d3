"""What a command may write to standard error and output: its own words, in any encoding."""

from __future__ import annotations

import io
import logging
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TextIO

_OURS = "kfp_llm_tuning"


def prepare() -> None:
    """Keeps libraries' logs and warnings off the terminal, and a narrow encoding from failing.

    What libraries log stands in the logs of tasks and of the server; here a person is told what
    this project warns of.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    handler = _StandardErrorHandler()
    handler.addFilter(lambda record: record.name.partition(".")[0] == _OURS)
    handler.setFormatter(logging.Formatter("! %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    # They become records of the logger py.warnings.
    logging.captureWarnings(True)


class _StandardErrorHandler(logging.StreamHandler[TextIO]):
    """Writes to standard error as it is now: `at_work` puts what is said above its own line."""

    @property
    def stream(self) -> TextIO:
        """Standard error."""
        return sys.stderr

    @stream.setter
    def stream(self, stream: TextIO) -> None:
        pass  # Of the base class, that would keep it for good.


def at_work(text: str) -> AbstractContextManager[object]:
    """Says in a terminal what takes a while, until it is done; a pipe is told nothing.

    Args:
        text: What is being done.

    Returns:
        To be entered while it is done.
    """
    from rich.console import Console
    from rich.markup import escape

    console = Console(stderr=True)
    return console.status(f"{escape(text)} …") if console.is_interactive else nullcontext()
