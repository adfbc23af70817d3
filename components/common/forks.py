"""Whether a process may be forked: copied, with everything that it has imported."""

from __future__ import annotations

import sys
from pathlib import Path


def threads() -> int:
    """Counts the threads of this process, those that libraries have started too.

    Returns:
        Their number, as Linux tells it.
    """
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def is_safe() -> bool:
    """Tells whether a copy of this process is a whole one.

    No other thread is in a copy, and what another held is locked there for good. Elsewhere than on
    Linux system libraries do not survive a fork.
    """
    return sys.platform == "linux" and threads() == 1
