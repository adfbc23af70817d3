"""What a model is given in one forward pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class TokenBatch:
    """Right-padded tensors of one forward pass.

    Attributes:
        input_ids: All tokens but each row's last, which nothing is predicted from; shape
            (rows, longest - 1).
        keep: Where the next token is a label; bool, shape (rows, longest - 1).
        targets: The labels in row-major order of ``keep``; shape (label tokens,).
        attention_mask: 1 at tokens, 0 at padding; same shape as input_ids.
    """

    input_ids: torch.Tensor
    keep: torch.Tensor
    targets: torch.Tensor
    attention_mask: torch.Tensor

    def to(self, device: torch.device) -> TokenBatch:
        """Copies the tensors to a device."""
        if device.type == "cpu":
            return self
        return TokenBatch(
            self.input_ids.to(device, non_blocking=True),
            self.keep.to(device, non_blocking=True),
            self.targets.to(device, non_blocking=True),
            self.attention_mask.to(device, non_blocking=True),
        )
