"""The weights that a run trains: which a checkpoint holds, and whether they are numbers."""

from __future__ import annotations

from typing import Any

import torch

from kfp_llm_tuning.components.models.sharded_model import shard_of


def has_adapters(model: Any) -> bool:
    """Tells whether a model is PEFT's."""
    return hasattr(model, "peft_config")


def weights_to_save(model: Any) -> dict[str, torch.Tensor]:
    """Names what a checkpoint holds.

    Args:
        model: A model of transformers or peft.

    Returns:
        Of adapters what is trained, else all; not copied.
    """
    weights: dict[str, torch.Tensor] = model.state_dict()
    if not has_adapters(model):
        return weights
    trained = {name for name, one in model.named_parameters() if one.requires_grad}
    return {name: weight for name, weight in weights.items() if name in trained}


def largest_weight(model: torch.nn.Module) -> float:
    """Gives the largest absolute value; it is not finite where any trained weight is not.

    Args:
        model: At least one of its weights is trained. Of a sharded one this process's part counts.
    """
    weights = [shard_of(p.detach()) for p in model.parameters() if p.requires_grad]
    # A process may hold nothing of a weight that has fewer rows than there are processes.
    weights = [weight for weight in weights if weight.numel()]
    if not weights:
        return 0.0
    norms = torch._foreach_norm(weights, ord=float("inf"))
    return float(torch.stack([norm.float() for norm in norms]).max())
