"""How much memory a run has held of a device."""

from __future__ import annotations

import resource

import jax


def peak_bytes() -> int:
    """Gives the most bytes held of this process's first device, or of the machine by a CPU run."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # on Linux
    return int(statistics.get("peak_bytes_in_use", kilobytes * 1024))
