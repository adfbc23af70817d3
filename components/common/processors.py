"""Prepares a process that computes with torch on processors which it shares with others."""

from __future__ import annotations

import os

from kfp_llm_tuning.components.common import contention

THREADS_VARIABLE = "OMP_NUM_THREADS"

# On a CPU torch, and oneDNN below it, keep a kernel for every shape: one for each length of a
# batch. Their own 1,024 each take 800 MiB beside a model of 15 MB, and a process grows for as long
# as it fills them; so many are as fast. Both variables are read at the first computation.
_KERNELS_KEPT = "64"
_KERNEL_CACHES = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")


def available() -> int:
    """Counts the processors that this process may use.

    Returns:
        The smallest of the machine's, the process's affinity and its control group's quota.
    """
    import joblib

    count: int = joblib.cpu_count()
    return count


def prepare_to_compute() -> None:
    """Prepares this process for computing: call it before the first computation.

    As many threads as there are processors for them, which give way to other programs, and bounded
    caches of kernels. What the user has set in the environment stays. The number of threads never
    changes afterwards: sums are in another order with another number, and a resumed run must give
    the weights of an uninterrupted one.
    """
    for variable in _KERNEL_CACHES:
        os.environ.setdefault(variable, _KERNELS_KEPT)
    import torch

    if THREADS_VARIABLE not in os.environ:
        torch.set_num_threads(available())
    contention.watch(torch.get_num_threads())
