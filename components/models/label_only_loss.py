"""The loss over label tokens, with logits computed at label positions only where models allow it.

A model's output layer is its widest: at a vocabulary of 65k it costs more than all layers of a
small model together, and most positions are prompt. transformers' ``logits_to_keep`` computes
logits at chosen positions; the model applies its own scales and soft-capping to them.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch

from kfp_llm_tuning.components.models.token_batch import TokenBatch

logger = logging.getLogger(__name__)


class Head(Enum):
    """How a model is asked for logits."""

    MASK = "logits at label positions"
    POSITIONS = "logits at positions where any row has a label"
    FULL = "logits at all positions"


@dataclass(frozen=True)
class ForwardPlan:
    """How one model is called.

    Attributes:
        head: How logits are asked for.
        attention_mask: Whether the padding must be masked.
    """

    head: Head
    attention_mask: bool

    def describe(self) -> str:
        """Says it in words."""
        mask = "masked padding" if self.attention_mask else "right padding without a mask"
        return f"{self.head.value}, {mask}"


def label_logits(model: torch.nn.Module, batch: TokenBatch, plan: ForwardPlan) -> torch.Tensor:
    """Runs the model and returns logits at label positions.

    Args:
        model: A causal language model in the Hugging Face interface.
        batch: A right-padded batch.
        plan: What :func:`plan_forward` found for this model.

    Returns:
        Logits, shape (label tokens, vocabulary), in the order of ``batch.targets``.
    """
    arguments: dict[str, Any] = {"input_ids": batch.input_ids, "use_cache": False}
    if plan.attention_mask:
        arguments["attention_mask"] = batch.attention_mask
    if plan.head is Head.MASK:
        logits: torch.Tensor = model(**arguments, logits_to_keep=batch.keep).logits
        return logits
    if plan.head is Head.POSITIONS:
        positions = batch.keep.any(dim=0).nonzero().squeeze(1)
        logits = model(**arguments, logits_to_keep=positions).logits
        return logits[batch.keep[:, positions]]
    logits = model(**arguments).logits
    return logits[batch.keep]


def label_loss(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums cross-entropy and counts correct next-token predictions.

    Args:
        logits: Shape (label tokens, vocabulary), any floating type.
        targets: Shape (label tokens,).

    Returns:
        The summed loss in nats, in float32, and the number of labels that are the argmax.
    """
    loss = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum")
    correct = (logits.detach().argmax(dim=-1) == targets).sum()
    return loss, correct


def plan_forward(model: torch.nn.Module) -> ForwardPlan:
    """Finds by trial how a model may be called: never by its name.

    Two rows of a few tokens are run. A head is used only if it gives the same logits as the full
    one; the mask is left out only if changing later tokens changes no earlier logit, which right
    padding needs. Models whose layers are not all full attention keep the mask: a trial this
    short does not reach beyond a window or a chunk.

    Args:
        model: A causal language model; its mode and gradients are left as they are.

    Returns:
        The fastest safe way.
    """
    device = next(model.parameters()).device
    vocabulary = model.get_input_embeddings().num_embeddings
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, vocabulary, (2, 8), generator=generator).to(device)
    keep = torch.zeros_like(ids, dtype=torch.bool)
    keep[0, 2:5] = True
    keep[1, 4:7] = True
    trial = TokenBatch(ids, keep, ids[keep], torch.ones_like(ids))
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            masked = not _is_causal(model, ids)
            return ForwardPlan(_head(model, trial, masked), masked)
    finally:
        model.train(was_training)


def _head(model: torch.nn.Module, trial: TokenBatch, masked: bool) -> Head:
    expected = label_logits(model, trial, ForwardPlan(Head.FULL, masked))
    for head in (Head.MASK, Head.POSITIONS):
        try:
            logits = label_logits(model, trial, ForwardPlan(head, masked))
        except (IndexError, TypeError, ValueError, RuntimeError) as error:
            logger.debug("No %s with this model: %s", head.value, error)
            continue
        if logits.shape == expected.shape and _close(logits, expected):
            return head
    return Head.FULL


def _is_causal(model: torch.nn.Module, ids: torch.Tensor) -> bool:
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"} or getattr(config, "sliding_window", None):
        return False
    changed = ids.clone()
    changed[:, 5:] = (ids[:, 5:] + 1) % model.get_input_embeddings().num_embeddings
    before = model(input_ids=ids, use_cache=False).logits
    after = model(input_ids=changed, use_cache=False).logits
    same = _close(before[:, :5], after[:, :5])
    # A model whose later logits do not move either has told nothing.
    return same and not torch.equal(before[:, 5:], after[:, 5:])


def _close(left: torch.Tensor, right: torch.Tensor) -> bool:
    tolerance = 1e-4 if left.dtype == torch.float32 else 2e-2
    scale = right.float().abs().max().clamp(min=1e-6)
    return bool(((left.float() - right.float()).abs().max() / scale) < tolerance)
