"""Reads safetensors into arrays that are spread over devices: each host reads its own parts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from numpy.typing import NDArray

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.wording import first_few
from kfp_llm_tuning.components.models.checkpoint_files import WEIGHT_INDEX, WEIGHTS

# Names in headers (huggingface/safetensors, "Format").
_TYPES: Mapping[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": jnp.bfloat16,
}


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file.

    Attributes:
        path: The file.
        offset: Where its bytes begin.
        dtype: Of its elements.
        shape: Its dimensions.
    """

    path: Path
    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def mapped(self) -> NDArray[Any]:
        """Maps it into memory: what is not looked at is not read."""
        return np.memmap(self.path, self.dtype, "r", self.offset, self.shape)


def stored_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Finds the tensors of a model, which was found to be whole, or of a checkpoint's states."""
    found: dict[str, StoredTensor] = {}
    for path in _weight_paths(folder):
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        for name, entry in header.items():
            if entry["dtype"] in _TYPES:
                begin = 8 + length + entry["data_offsets"][0]
                dtype = np.dtype(_TYPES[entry["dtype"]])
                found[name] = StoredTensor(path, begin, dtype, tuple(entry["shape"]))
    return found


def _weight_paths(folder: Path) -> list[Path]:
    """Chooses the files as transformers does: beside them may lie the same weights once more."""
    if (folder / WEIGHTS).exists():
        return [folder / WEIGHTS]
    if (folder / WEIGHT_INDEX).exists():
        index = json.loads((folder / WEIGHT_INDEX).read_text("utf-8"))
        return [folder / name for name in sorted(set(index["weight_map"].values()))]
    return sorted(folder.glob("*.safetensors"))


def place(stored: StoredTensor, sharding: NamedSharding, dtype: Any) -> jax.Array:
    """Reads what this process's devices are to hold of a tensor.

    Args:
        stored: The tensor.
        sharding: Over the devices of all processes.
        dtype: That the array is to have.
    """
    mapped = stored.mapped()
    return jax.make_array_from_callback(
        stored.shape, sharding, lambda index: np.asarray(mapped[index]).astype(dtype)
    )


def read_like(folder: Path, like: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """Reads tensors of a checkpoint, spread as others are, on any number of devices.

    Args:
        folder: Holds safetensors files.
        like: Arrays by the names of the tensors: theirs are the shapes, types and places.

    Returns:
        The arrays by name.

    Raises:
        UserError: If a tensor is missing or of another shape.
    """
    stored = stored_tensors(folder)
    wrong = [
        name
        for name, array in like.items()
        if name not in stored or stored[name].shape != array.shape
    ]
    if wrong:
        what = f"lacks {first_few(wrong)}, or holds them in other shapes."
        raise UserError(Problem(what, str(folder), fix="Begin the run anew."))
    return {name: place(stored[name], array.sharding, array.dtype) for name, array in like.items()}
