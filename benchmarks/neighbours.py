"""Other programs that keep processors busy."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

# It does not outlive a benchmark that is killed.
_NEIGHBOUR = """
import os
parent = os.getppid()
while os.getppid() == parent:
    sum(range(1_000_000))
"""


@contextlib.contextmanager
def busy(programs: int) -> Iterator[None]:
    """Keeps processors busy with other programs.

    Args:
        programs: How many.

    Yields:
        While they compute.
    """
    running = [subprocess.Popen([sys.executable, "-c", _NEIGHBOUR]) for _ in range(programs)]
    try:
        yield
    finally:
        for program in running:
            program.kill()
            program.wait()
