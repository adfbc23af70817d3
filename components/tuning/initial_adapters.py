"""The values that LoRA begins with: of the seed and the place alone, whatever computes."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray


def initial_matrix(seed: int, module: str, rank: int, inputs: int) -> NDArray[np.float32]:
    """Draws the matrix that adapters multiply their inputs with; the other one begins at 0.

    Args:
        seed: The run's.
        module: Name of the adapted layer in the model, such as model.layers.0.mlp.up_proj.
        rank: Of the adapter.
        inputs: Features that the layer takes.

    Returns:
        Uniform within 1 / sqrt(inputs), as PEFT draws it (``LoraLayer.reset_lora_parameters``:
        Kaiming's bound with a = sqrt(5)); shape (rank, inputs).
    """
    place = np.frombuffer(hashlib.sha256(module.encode()).digest(), dtype="<u4")
    generator = np.random.default_rng([seed, *place.tolist()])
    bound = 1 / np.sqrt(inputs)
    return generator.uniform(-bound, bound, (rank, inputs)).astype(np.float32)
