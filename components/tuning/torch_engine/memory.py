"""How many tokens fit in memory at once: measured on a few, to begin with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from kfp_llm_tuning.components.common.host_memory import host_memory
from kfp_llm_tuning.components.models.label_head import chunk_values
from kfp_llm_tuning.components.models.label_only_loss import ForwardPlan, label_loss
from kfp_llm_tuning.components.models.sharded_model import settle, shard_of
from kfp_llm_tuning.components.models.token_batch import TokenBatch

# Leaves room for the allocator's fragments and for what the estimate does not know.
_USABLE_SHARE = 0.8
# Logits, as float32 and their gradient: what a label holds beside its value in the model's type.
_LOSS_BYTES = 8
# How far apart layers that are recomputed may stand: none, every fourth, third, second, all.
_SPACINGS = (0, 4, 3, 2, 1)
_FEW_TOKENS, _MORE_TOKENS = 64, 128


@dataclass(frozen=True)
class TokenBudget:
    """What one forward pass of one device may hold.

    Attributes:
        training: Tokens with what the backward pass needs.
        evaluation: Tokens without.
        recomputed_every: Every so manieth layer is recomputed in the backward pass; 0 for none.
    """

    training: int
    evaluation: int
    recomputed_every: int = 0

    @property
    def recomputation(self) -> str:
        """Says which layers are recomputed, to follow a comma; empty where none is."""
        if self.recomputed_every <= 1:
            return ", layers recomputed" if self.recomputed_every else ""
        return f", one layer of {self.recomputed_every} recomputed"


@dataclass(frozen=True)
class PassMemory:
    """Bytes that forward passes of a model take beside its weights.

    Attributes:
        fixed: What does not grow with the tokens.
        layers: What all layers keep of a token for the backward pass.
        layer_count: How many layers there are.
        hidden: A token's hidden state.
        logits: What is held of a token's logits at once; 0 where they are computed in chunks.
    """

    fixed: float
    layers: float
    layer_count: int
    hidden: float
    logits: float

    def token(self, recomputed_every: int = 0) -> float:
        """Bytes of a token in training.

        Args:
            recomputed_every: As in :class:`TokenBudget`.
        """
        kept = self.layers + self.logits
        if not recomputed_every:
            return kept
        recomputed = -(-self.layer_count // recomputed_every)
        # One of them is there again while its backward pass runs.
        again = self.layers / self.layer_count
        return kept - recomputed * (again - self.hidden) + again

    @property
    def evaluated_token(self) -> float:
        """Bytes of a token without gradients: what goes into a layer, and what comes out of it."""
        return self.layers / self.layer_count + 2 * self.hidden + self.logits


def available_bytes(device: torch.device) -> int:
    """Measures the memory still free on a device.

    Args:
        device: CPU or CUDA.

    Returns:
        Bytes.
    """
    if device.type == "cuda":
        free, _total = torch.cuda.mem_get_info(device)
        return int(free)
    return host_memory().available


def peak_bytes(device: torch.device) -> int:
    """Measures the most memory this process has used: resident on CPU, allocated on CUDA.

    Args:
        device: CPU or CUDA.

    Returns:
        Bytes.
    """
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # kilobytes on Linux


def training_bytes(model: torch.nn.Module) -> int:
    """Bytes that training adds to the weights: gradients and AdamW's two moments.

    Args:
        model: The model, with what is frozen already frozen.

    Returns:
        Bytes, of trainable parameters only; of a sharded model this process's part.
    """
    return sum(3 * shard_of(p.detach()).nbytes for p in model.parameters() if p.requires_grad)


def measure_pass(
    model: Any, plan: ForwardPlan, make_batch: Callable[[int], TokenBatch], *, bytes_per_value: int
) -> PassMemory:
    """Measures what forward passes of a model keep, by two of a few tokens.

    Args:
        model: The model, on its device, in the arithmetic of the run.
        plan: How it is called.
        make_batch: Makes a batch of so many tokens with one label, on the model's device.
        bytes_per_value: 2 for bf16, 4 for fp32.

    Returns:
        What is to be multiplied by tokens.
    """
    config = model.config.get_text_config()
    few, more = (
        _kept_bytes(model, plan, make_batch(tokens)) for tokens in (_FEW_TOKENS, _MORE_TOKENS)
    )
    of_token = (more - few) / (_MORE_TOKENS - _FEW_TOKENS)
    logit = bytes_per_value + _LOSS_BYTES
    return PassMemory(
        fixed=few - of_token * _FEW_TOKENS + chunk_values(model.device) * logit,
        layers=of_token,
        layer_count=config.num_hidden_layers,
        hidden=config.hidden_size * bytes_per_value,
        logits=0 if plan.label_only else config.vocab_size * logit,
    )


def _kept_bytes(model: torch.nn.Module, plan: ForwardPlan, batch: TokenBatch) -> int:
    """Sums the storages that a forward pass saves for its backward pass, weights excepted."""
    # Held, so that none of them is another's successor at the same place.
    weights = {id(storage): storage for storage in map(_storage, model.parameters())}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = _storage(tensor)
        if id(storage) not in weights:
            kept[id(storage)] = storage
        return tensor

    was_training = model.training
    device = next(model.parameters()).device
    # Dropout must draw for the run what it would have drawn without this.
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        model.train()
        try:
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                label_loss(model, batch, plan)
        finally:
            model.train(was_training)
    # What was gathered of layers is freed by now.
    kept_bytes: int = sum(storage.nbytes() for storage in kept.values())
    settle(model)
    return kept_bytes


def _storage(tensor: torch.Tensor) -> torch.UntypedStorage:
    return shard_of(tensor.detach()).untyped_storage()


def fitting_budget(
    needs: PassMemory, room: float, *, wanted: int, spacings: Sequence[int] = _SPACINGS
) -> TokenBudget:
    """Finds how many tokens fit, and recomputes no more layers than are needed for those wanted.

    Args:
        needs: What forward passes take.
        room: Bytes that are free for them.
        wanted: Tokens below which layers are rather recomputed.
        spacings: Which layers may be recomputed; see :class:`TokenBudget`.

    Returns:
        A budget of at least one token; it may be less than ``wanted``.
    """
    rest = max(_USABLE_SHARE * room - needs.fixed, 0.0)

    budgets = [
        TokenBudget(
            max(int(rest // needs.token(spacing)), 1),
            max(int(rest // needs.evaluated_token), 1),
            spacing,
        )
        for spacing in spacings
    ]
    return next((one for one in budgets if one.training >= wanted), budgets[-1])
