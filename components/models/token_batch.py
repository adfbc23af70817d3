"""What a model is given in one forward pass."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class TokenBatch:
    """Tensors of one forward pass: rows padded on the right, or one row of several documents.

    Everything is counted on the host, so that no device is asked for a number.

    Attributes:
        input_ids: All tokens but each sequence's last, which nothing is predicted from; int64,
            shape (rows, width).
        positions: Where a label is predicted from in the flattened rows, ascending within a
            sequence; int64, shape (label tokens,).
        targets: The labels, in the order of the positions; int64, shape (label tokens,).
        attention_mask: Of padded rows: 1 at tokens, 0 at padding; same shape as input_ids.
        position_ids: Of documents: each token's place in its own; same shape as input_ids.
        bounds: Of documents: where each begins, and the end of the last; int64, shape
            (documents + 1,).
        longest: Tokens of the longest sequence.
    """

    input_ids: torch.Tensor
    positions: torch.Tensor
    targets: torch.Tensor
    attention_mask: torch.Tensor | None = None
    position_ids: torch.Tensor | None = None
    bounds: torch.Tensor | None = None
    longest: int = 0

    def to(self, device: torch.device) -> TokenBatch:
        """Copies all tensors to a device in one transfer, which the host does not wait for."""
        if device.type == "cpu":
            return self
        tensors = {
            field.name: value
            for field in dataclasses.fields(self)
            if isinstance(value := getattr(self, field.name), torch.Tensor)
        }
        sizes = [tensor.numel() for tensor in tensors.values()]
        # From memory that may be swapped out, a copy would wait for the device's queue.
        pinned = device.type == "cuda"
        buffer = torch.empty(sum(sizes), dtype=torch.int64, pin_memory=pinned)
        torch.cat([tensor.flatten() for tensor in tensors.values()], out=buffer)
        copies = buffer.to(device, non_blocking=True).split(sizes)
        return dataclasses.replace(
            self,
            **{
                name: copy.view(tensor.shape)
                for (name, tensor), copy in zip(tensors.items(), copies, strict=True)
            },
        )
