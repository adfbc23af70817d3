"""Where a model stands: a mesh of devices, and how each weight is spread over it."""

from __future__ import annotations

from collections.abc import Sequence

import jax
from jax.experimental import mesh_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from kfp_llm_tuning.components.tuning.jax_engine.layers import FSDP, TENSOR

# Weights whose inputs, not outputs, are spread over `tensor`: the sum goes over the devices.
GATHERING = ("o_proj", "down_proj")


def make_mesh(devices: Sequence[jax.Device], rows: int, heads: int) -> Mesh:
    """Arranges devices as fsdp x tensor, as the machine's topology has them.

    Rows of a batch are spread over ``fsdp``, so more devices than rows would idle: the rest goes to
    ``tensor``, as far as attention heads can be spread.

    Args:
        devices: Of all processes.
        rows: Of one batch.
        heads: Attention heads.

    Returns:
        The mesh, with the smallest ``tensor`` that leaves no device without rows.
    """
    count = len(devices)
    fitting = [size for size in range(1, count + 1) if count % size == 0 and heads % size == 0]
    tensor = next((size for size in fitting if count // size <= rows), fitting[-1])
    if count == 1:
        placed = mesh_utils.create_device_mesh((1, 1), devices)
    else:
        shape = (count // tensor, tensor)
        placed = mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
    return Mesh(placed, (FSDP, TENSOR))


def placement(mesh: Mesh, name: str, shape: tuple[int, ...]) -> NamedSharding:
    """Decides how a weight is spread.

    Args:
        mesh: Of :func:`make_mesh`.
        name: The weight's, as a checkpoint has it, or an adapter's.
        shape: Its shape.

    Returns:
        Matrices spread over both axes, where their dimensions are multiples; vectors everywhere.
    """
    if len(shape) < 2:
        return NamedSharding(mesh, PartitionSpec())
    gathers = any(f".{layer}." in name for layer in GATHERING)
    axes = (FSDP, TENSOR) if gathers else (TENSOR, FSDP)
    fitting = (
        axis if size % mesh.shape[axis] == 0 else None
        for axis, size in zip(axes, shape, strict=True)
    )
    return NamedSharding(mesh, PartitionSpec(*fitting))
