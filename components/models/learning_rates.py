"""Learning rates that fit a checkpoint's size: small models need far larger ones."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.models.checkpoint_files import local_files
from kfp_llm_tuning.components.models.weights import read_tensors


def rates_by_size(checkpoint: str, sizes: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Chooses the rates for a checkpoint that the table does not name.

    Args:
        checkpoint: Where it is; only a folder of this machine is looked into.
        sizes: ``learning_rates_by_size`` of the table.

    Returns:
        By kind of tuning ("adapter", "full"); nothing where the size is not known, or beyond all
        of the table's.
    """
    parameters = _count_parameters(Path(checkpoint).expanduser())
    for size in sizes:
        if parameters is not None and parameters <= size["most_parameters"]:
            return dict(size["learning_rates"])
    return {}


def _count_parameters(folder: Path) -> int | None:
    """Counts by the headers of the weights; None where they are not at hand or not whole."""
    if not os.path.isdir(folder):  # noqa: PTH112  Path.is_dir raises for a name that is too long.
        return None
    try:
        tensors = read_tensors(local_files(folder), str(folder))
    except (OSError, UserError):  # Whoever loads the model tells.
        return None
    return sum(prod(tensor.shape) for tensor in tensors.values())
