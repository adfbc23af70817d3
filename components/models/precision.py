"""The arithmetic in which this machine computes fastest: tried out, not looked up.

What a processor says of itself does not tell. Matrix products of bfloat16 took twice as long as
those of float32 on an Intel Xeon (Emerald Rapids) whose tiles (AMX) a virtual machine hides: it
names AVX512_BF16 all the same, as processors do that gain by it. With tiles they are several times
faster; without any such instruction they are emulated.
"""

from __future__ import annotations

import time
from functools import cache

import torch

# A product takes less than a millisecond, so that among many tries some are disturbed by no other
# program; the shape is that of a layer's.
_ROWS, _WIDTH = 128, 512
_TRIES = 24
# bfloat16 rounds, and what is not a matrix product must be cast to it: it has to be worth it. What
# was seen was far from this, on one side or the other, and stayed there on a busy machine.
_WORTH_IT = 0.8


def fastest_dtype() -> torch.dtype:
    """Names the type in which a model is run: bfloat16 where that is fast, else float32."""
    return torch.bfloat16 if has_fast_bf16() else torch.float32


@cache
def has_fast_bf16() -> bool:
    """Tells whether this machine computes in bfloat16 faster than in float32.

    Returns:
        Of a GPU whether it has such units; of a processor what a trial of some milliseconds says,
        with the threads that this process computes with, once a process.
    """
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    short, long = _seconds_of_products(torch.bfloat16, torch.float32)
    return short < _WORTH_IT * long


def _seconds_of_products(*dtypes: torch.dtype) -> list[float]:
    """Times a matrix product in each type, in turns; the fastest try of each counts."""
    left, right = torch.ones(_ROWS, _WIDTH), torch.ones(_WIDTH, _WIDTH)
    operands = [(left.to(dtype), right.to(dtype)) for dtype in dtypes]
    best = [float("inf")] * len(dtypes)
    for _ in range(_TRIES):
        for number, (rows, weights) in enumerate(operands):
            began = time.perf_counter()
            torch.nn.functional.linear(rows, weights)
            best[number] = min(best[number], time.perf_counter() - began)
    return best
