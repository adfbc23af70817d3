"""How often work tells how far it is."""

from __future__ import annotations

_LEAST_SECONDS, _MOST_SECONDS = 5.0, 60.0
_SHARE_OF_ELAPSED = 0.05


def seconds_between_lines(elapsed: float) -> float:
    """Spaces the lines of progress: an hour's work is read on two screens and never silent.

    Args:
        elapsed: Seconds since the work began.

    Returns:
        Seconds to the next line: 5 at first, a minute in the end.
    """
    return min(max(_SHARE_OF_ELAPSED * elapsed, _LEAST_SECONDS), _MOST_SECONDS)
