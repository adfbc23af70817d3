"""Learning rates: which a run may have, and which fit a checkpoint's size."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.models.checkpoint_files import local_files
from kfp_llm_tuning.components.models.weights import read_tensors

# The rate that the published method tune recommends, and the greatest of each method: 1 where it is
# not named.
LEGACY_RATE = 3.0
_GREATEST_RATES = {"tune": 1000.0}


def check_learning_rate(rate: float, tuning_method: str) -> None:
    """Checks a learning rate as it was asked for.

    Args:
        rate: Negative for the method's own.
        tuning_method: A choice of the root input.

    Raises:
        UserError: If no run can have it.
    """
    most = _GREATEST_RATES.get(tuning_method, 1.0)
    if -math.inf < rate <= most:
        return
    fix = ""
    if tuning_method != "tune" and 1 < rate < math.inf:
        fix = (
            "Rates such as 3.0 are those of the former method tune: with this one the first steps "
            "would overwrite the weights, and nothing of the model would be left."
        )
    allowed = f"negative for the model's own, or from 0 to {most:g}"
    raise UserError(Problem(f"{rate!r} is out of range.", "learning_rate", allowed, fix))


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
