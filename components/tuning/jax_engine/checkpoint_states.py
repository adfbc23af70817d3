"""Weights and optimiser in a checkpoint: every process writes the parts that its devices hold.

A part is a safetensors tensor named by its whole and by where it begins in it, so that a run goes
on with any number of devices and processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.wording import first_few
from kfp_llm_tuning.components.tuning.jax_engine.loading import StoredTensor, stored_tensors

# Between the name of a tensor and where the part begins in it.
_AT = "@"
Parts = dict[str, NDArray[Any]]


def own_parts(arrays: Mapping[str, jax.Array]) -> Parts:
    """Copies to the host what this process is to write.

    Args:
        arrays: By name, spread over the devices of all processes.

    Returns:
        Each part of which a device of this process holds the first copy.
    """
    parts = {}
    for name, array in arrays.items():
        for shard in array.addressable_shards:
            if shard.replica_id == 0:
                begins = ",".join(str(one.start or 0) for one in shard.index)
                parts[f"{name}{_AT}{begins}"] = np.array(shard.data)
    return parts


def write_parts(parts: Parts, folder: Path, process: int) -> None:
    """Writes what :func:`own_parts` gave.

    Args:
        parts: Of this process.
        folder: Of the checkpoint.
        process: Numbers this process.
    """
    save_file(parts, folder / f"states-{process:05d}.safetensors")


def read_parts(folder: Path, like: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """Reads arrays of a checkpoint, whatever devices wrote it.

    Args:
        folder: A whole checkpoint.
        like: Arrays by name: theirs are the shapes, types and places.

    Raises:
        UserError: If the checkpoint has not all of an array.
    """
    stored: dict[str, list[tuple[tuple[int, ...], StoredTensor]]] = {}
    for label, tensor in stored_tensors(folder).items():
        name, _, begins = label.rpartition(_AT)
        place = tuple(int(one) for one in begins.split(",") if one)
        stored.setdefault(name, []).append((place, tensor))
    sizes = {
        name: sum(int(np.prod(part.shape)) for _, part in parts) for name, parts in stored.items()
    }
    if wrong := [name for name, array in like.items() if sizes.get(name) != array.size]:
        what = f"lacks {first_few(wrong)}, or holds them in other shapes."
        raise UserError(Problem(what, str(folder), fix="Begin the run anew."))
    return {
        name: jax.make_array_from_callback(
            array.shape, array.sharding, _reader(stored[name], array.shape, array.dtype)
        )
        for name, array in like.items()
    }


def _reader(
    parts: list[tuple[tuple[int, ...], StoredTensor]], shape: tuple[int, ...], dtype: Any
) -> Callable[[tuple[slice, ...]], NDArray[Any]]:
    def read(index: tuple[slice, ...]) -> NDArray[Any]:
        bounds = [one.indices(size)[:2] for one, size in zip(index, shape, strict=True)]
        found = np.zeros([stop - start for start, stop in bounds], dtype)
        for begins, part in parts:
            # Where this part and what is asked for overlap, in the whole tensor.
            both = [
                (max(start, begin), min(stop, begin + size))
                for (start, stop), begin, size in zip(bounds, begins, part.shape, strict=True)
            ]
            if all(start < stop for start, stop in both):
                to = tuple(slice(a - o, b - o) for (a, b), (o, _) in zip(both, bounds, strict=True))
                of = tuple(slice(a - o, b - o) for (a, b), o in zip(both, begins, strict=True))
                found[to] = part.mapped()[of]
        return found

    return read
