"""A model whose weights are spread over the processes of a run: FSDP2, at loading.

transformers does the sharding where it loads (``DistributedConfig``): the model is made without
memory, each decoder layer is given to torch's ``fully_shard``, and every process reads its own
slices from the checkpoint's files, whatever conversion their names need. accelerate's plugin would
load the whole model into host memory first and take the optimiser over; a loader of our own would
have to know every checkpoint's conversions. Weights that are trained stay in float32, are gathered
and computed with in bfloat16 where the run computes in it, and their gradients are summed in
float32.

Adapters, which are put on afterwards, are held whole by every process: they are about a hundredth
of the model. What is read of a module's weights between forward passes is this process's shard.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from kfp_llm_tuning.components.models.causal_model import load_causal_model, load_config
from kfp_llm_tuning.components.models.label_only_loss import unwrapped


def load_sharded_model(folder: Path, dtype: torch.dtype, processes: int, *, bf16: bool) -> Any:
    """Loads this process's shard of a model; every process of the run must call it.

    Args:
        folder: A folder that `check_whole` has passed.
        dtype: Type of the weights in memory.
        processes: How many share the model; their group is set up.
        bf16: Whether weights are gathered in bfloat16.

    Returns:
        A transformers model, on this process's device.

    Raises:
        UserError: As `load_causal_model`.
    """
    from transformers.distributed import DistributedConfig

    layout = DistributedConfig(fsdp_size=processes, fsdp_mixed_precision=bf16)
    kind = _with_head_in_root(load_config(folder))
    return load_causal_model(folder, dtype, kind, distributed_config=layout)


def _with_head_in_root(config: Any) -> Any:
    """Makes the model's class leave its output layer to the group of weights that stays gathered.

    A group of its own would be gathered and summed once for each chunk of labels.
    """
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        kind = type(AutoModelForCausalLM.from_config(config))
    return type(kind.__name__, (kind,), {"_fsdp_plan": {}, "__module__": kind.__module__})


def is_sharded(model: Any) -> bool:
    """Tells whether processes share a model's weights; it may have adapters."""
    from torch.distributed.fsdp import FSDPModule

    return isinstance(unwrapped(model), FSDPModule)


def call_through_shards(adapted: Any) -> None:
    """Lets a PEFT model call its sharded base as a module: its weights are gathered by hooks.

    PEFT itself calls ``forward``, which runs none.
    """
    causal = adapted.get_base_model()
    adapted.base_model.forward = lambda *values, **named: causal(*values, **named)


def settle(model: Any) -> None:
    """Frees what a forward pass without a backward pass has left gathered.

    What is loaded afterwards would not be seen by the next pass, nor what it computed by a
    checkpoint.

    Args:
        model: Any model; one that is not sharded is left alone.
    """
    if is_sharded(model):
        unwrapped(model).reset_iter_state()


def shard_of(tensor: torch.Tensor) -> torch.Tensor:
    """Gives what this process holds of a tensor; all of one that is not sharded."""
    from torch.distributed.tensor import DTensor

    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def replicated_weights(model: Any) -> Iterator[torch.nn.Parameter]:
    """Lists the trained weights of a sharded model that every process holds whole."""
    from torch.distributed.tensor import DTensor

    for weight in model.parameters():
        if weight.requires_grad and not isinstance(weight, DTensor):
            yield weight


def make_equal(model: Any) -> None:
    """Gives every process the first one's values of what each holds whole."""
    for weight in replicated_weights(model):
        torch.distributed.broadcast(weight.data, src=0)


def average_gradients(model: Any) -> None:
    """Averages the gradients of what every process holds whole, in one exchange.

    Those of shards have been averaged when a backward pass ends.
    """
    gradients = [w.grad for w in replicated_weights(model) if w.grad is not None]
    if not gradients:
        return
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    torch.distributed.all_reduce(flat)
    flat /= torch.distributed.get_world_size()
    sizes = [gradient.numel() for gradient in gradients]
    for gradient, mean in zip(gradients, flat.split(sizes), strict=True):
        gradient.copy_(mean.view_as(gradient))
