"""How much disk a run takes, from the number of a model's weights alone; needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

from kfp_llm_tuning.components.models.footprint import Method
from kfp_llm_tuning.components.models.model_shapes import ModelShape

# Of a base model's files and of the tuned model's: weights in 16 bits, as they are published.
FILE_BYTES = 2
# A checkpoint's weights, and AdamW's two moments, in float32 each.
_CHECKPOINT_BYTES = 12
# The newest two, and the one that is being written (CheckpointDirectory.commit) ...
_CHECKPOINTS = 3


@dataclass(frozen=True)
class DiskNeeds:
    """Bytes that lie on a disk at once.

    Attributes:
        base: The base model's files.
        checkpoints: All checkpoints that are kept, and the one being written.
        tuned: The tuned model's files.
    """

    base: int
    checkpoints: int
    tuned: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.base + self.checkpoints + self.tuned

    @property
    def text(self) -> str:
        """Says it, with its parts."""
        parts = {
            "base model": self.base,
            "checkpoints": self.checkpoints,
            "tuned model": self.tuned,
        }
        said = ", ".join(f"{name} {size / 1e9:,.0f} GB" for name, size in parts.items() if size)
        return f"about {self.total / 1e9:,.0f} GB of disk ({said})"


def disk_needs(shape: ModelShape, method: Method, *, selects: bool = True) -> DiskNeeds:
    """Reckons what a run keeps on the tuner's disk.

    Args:
        shape: The model.
        method: How it is tuned.
        selects: Whether the best step's checkpoint is kept besides the newest.

    Returns:
        Bytes; each machine of several keeps as much.
    """
    files = shape.weights * FILE_BYTES
    trained = method.weights(shape).trained
    kept = _CHECKPOINTS + selects
    return DiskNeeds(files, kept * trained * _CHECKPOINT_BYTES, files)
