"""LoRA adapters as PEFT has them: which layers, first values, names."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from kfp_llm_tuning.components.common.errors import Problem, UserError, raise_all
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.initial_adapters import initial_matrix
from kfp_llm_tuning.components.tuning.jax_engine.layers import Adapter
from kfp_llm_tuning.components.tuning.jax_engine.mesh import placement

ADAPTED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_BEFORE, _FIRST, _SECOND = "base_model.model.", ".lora_A.weight", ".lora_B.weight"


def check_adapter_arguments(arguments: TuningArguments) -> None:
    """Checks that this engine can tune as it is asked to.

    Args:
        arguments: Of the run.

    Raises:
        UserError: With all that it cannot.
    """
    problems = []
    if arguments.load_in_4bit:
        what = "the engine for TPU has no weights in 4 bits."
        problems.append(Problem(what, "load_in_4bit", "false"))
    if arguments.tuning == "adapter" and arguments.lora_dropout:
        what = "the engine for TPU has no dropout in front of adapters."
        problems.append(Problem(what, "lora_dropout", "0"))
    raise_all(problems)


def asked_adapter(arguments: TuningArguments) -> Adapter | None:
    """Reads which adapters are asked for.

    Args:
        arguments: Of the run.

    Returns:
        Their sizes and places; None where all weights are trained.

    Raises:
        UserError: If there are no such layers, or ones that no adapter stands beside.
    """
    if arguments.tuning != "adapter":
        return None
    asked = arguments.lora_target_modules
    names = [name.strip() for name in asked.split(",")]
    targets = ADAPTED if asked == "all-linear" else tuple(names)
    strangers = [name for name in targets if name.rpartition(".")[2] not in ADAPTED]
    if strangers:
        what = f"the engine for TPU has no adapters at {', '.join(strangers)}."
        allowed = f"all-linear, or names out of {', '.join(ADAPTED)}"
        raise UserError(Problem(what, "lora_target_modules", allowed))
    return Adapter(arguments.lora_rank, arguments.lora_alpha, targets)


def adapter_of(adapter: Adapter | None, layer: str) -> Adapter | None:
    """Gives the adapter of a layer by its name in the checkpoint; None for none."""
    targets = adapter.targets if adapter else ()
    return adapter if any(f".{layer}".endswith(f".{one}") for one in targets) else None


def is_adapter(name: str) -> bool:
    """Tells whether a name is that of one of PEFT's tensors."""
    return name.startswith(_BEFORE)


def adapter_names(weight: str) -> tuple[str, str]:
    """Names the two matrices of the adapter beside a weight of the checkpoint."""
    module = _BEFORE + weight.removesuffix(".weight")
    return module + _FIRST, module + _SECOND


def first_values(name: str, shape: tuple[int, ...], mesh: Mesh, seed: int) -> jax.Array:
    """Makes the values that a matrix of an adapter begins with, in place.

    Args:
        name: As PEFT's file has it.
        shape: Of the matrix.
        mesh: Where it stands.
        seed: The run's.

    Returns:
        A float32 array; the second matrix is 0.
    """
    values: Any = np.zeros(shape, np.float32)
    if name.endswith(_FIRST):
        module = name.removeprefix(_BEFORE).removesuffix(_FIRST)
        values = initial_matrix(seed, module, *shape)
    return jax.make_array_from_callback(
        shape, placement(mesh, name, shape), lambda index: values[index]
    )
