"""How much memory a model takes on each device while it is tuned; needs no torch.

What weights take follows from their number alone: weights, gradients and AdamW's moments are of
known types (Rajbhandari et al. 2020, "ZeRO: Memory Optimizations Toward Training Trillion Parameter
Models", section 3.1, with everything that is trained kept in float32).
"""

from __future__ import annotations

from dataclasses import dataclass

# A trained weight, its gradient and AdamW's two moments, in float32 each.
TRAINED_BYTES = 16
# DistributedDataParallel's buckets hold each gradient once more.
_BUCKET_BYTES = 4
# 4 bits, and a scale in float32 for every 64 weights (bitsandbytes' NF4).
QUANTISED_BYTES = 0.5 + 4 / 64


@dataclass(frozen=True)
class Weights:
    """How many weights a model has, by what becomes of them.

    Attributes:
        trained: Updated; with adapters these alone.
        frozen: Only read.
        quantised: Only read, and kept in 4 bits.
    """

    trained: int
    frozen: int = 0
    quantised: int = 0


def state_bytes(
    weights: Weights, *, processes: int = 1, sharded: bool = False, frozen_bytes: int = 2
) -> float:
    """Counts what weights, gradients and optimiser take on one device.

    Args:
        weights: Of the whole model.
        processes: How many train together, on a device each.
        sharded: Whether each holds its share alone; else each holds all.
        frozen_bytes: Bytes of a frozen weight: 2 in bf16, 4 in float32.

    Returns:
        Bytes, without what forward and backward passes hold meanwhile.
    """
    read_only = weights.frozen * frozen_bytes + weights.quantised * QUANTISED_BYTES
    held = weights.trained * TRAINED_BYTES + read_only
    if sharded:
        return held / processes
    return held + (weights.trained * _BUCKET_BYTES if processes > 1 else 0)
