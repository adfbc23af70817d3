"""How sequences are laid out in one forward pass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from kfp_llm_tuning.components.data.token_sequence import TokenSequence
from kfp_llm_tuning.components.models.token_batch import TokenBatch


def collate(
    sequences: Sequence[TokenSequence], *, padding: int = 0, multiple_of: int = 1
) -> TokenBatch:
    """Lays sequences out as one right-padded batch.

    Args:
        sequences: At least one.
        padding: Token id of the padding; any id of the vocabulary does.
        multiple_of: Rounds the width up, for tensor cores.

    Returns:
        Tensors on the CPU.
    """
    width = max(len(sequence.input_ids) for sequence in sequences) - 1
    width = max(-(-width // multiple_of) * multiple_of, 1)
    shape = (len(sequences), width)
    input_ids = np.full(shape, padding, dtype=np.int64)
    keep = np.zeros(shape, dtype=np.bool_)
    mask = np.zeros(shape, dtype=np.int64)
    for row, sequence in enumerate(sequences):
        last = len(sequence.input_ids) - 1
        input_ids[row, :last] = sequence.input_ids[:-1]
        keep[row, sequence.positions] = True
        mask[row, :last] = 1
    targets = np.concatenate([sequence.labels for sequence in sequences])
    return TokenBatch(
        torch.from_numpy(input_ids),
        torch.from_numpy(keep),
        torch.from_numpy(targets.astype(np.int64)),
        torch.from_numpy(mask),
    )
