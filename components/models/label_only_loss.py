"""The loss over label tokens, with logits computed at label positions only where models allow it.

A model's output layer is its widest: at a vocabulary of 65k it costs more than all layers of a
small model together, and most positions are prompt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from kfp_llm_tuning.components.models.label_head import (
    Head,
    answering,
    chunked_loss,
    cross_entropy,
    head_weights,
)
from kfp_llm_tuning.components.models.token_batch import TokenBatch


@dataclass(frozen=True)
class ForwardPlan:
    """How one model is called.

    Attributes:
        label_only: Whether its output layer is run at label positions alone.
        attention_mask: Whether padding must be masked.
        packed: Whether it takes sequences end to end in one row, each of which sees itself alone.
        reason: What decided that, in words.
    """

    label_only: bool
    attention_mask: bool
    packed: bool = False
    reason: str = ""

    def describe(self) -> str:
        """Says it in words."""
        head = "logits at label positions" if self.label_only else "logits at all positions"
        mask = "masked padding" if self.attention_mask else "right padding without a mask"
        layout = "sequences end to end without padding" if self.packed else mask
        return f"{layout}, {head}" + (f" ({self.reason})" if self.reason else "")


def unwrapped(model: Any) -> Any:
    """Gives the causal language model inside of whatever wraps it.

    Args:
        model: A causal language model, perhaps with adapters, perhaps wrapped for several
            processes.
    """
    model = getattr(model, "module", model)
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def label_logits(model: Any, batch: TokenBatch, plan: ForwardPlan) -> torch.Tensor:
    """Runs the model and returns logits at label positions.

    Args:
        model: A causal language model in the Hugging Face interface.
        batch: What it reads, in the layout of the plan.
        plan: What ``plan_forward`` found for this model.

    Returns:
        Logits, shape (label tokens, vocabulary), in the order of ``batch.targets``.
    """
    arguments = _arguments(batch, plan)
    if plan.label_only:
        with answering(unwrapped(model), batch.positions, lambda hidden, head: head(hidden)):
            logits: torch.Tensor = model(**arguments)
        return logits
    logits = model(**arguments).logits
    return logits.flatten(0, 1).index_select(0, batch.positions)


def label_loss(
    model: Any, batch: TokenBatch, plan: ForwardPlan
) -> tuple[torch.Tensor, torch.Tensor]:
    """Runs the model and sums the loss over the labels.

    Args:
        model: A causal language model in the Hugging Face interface.
        batch: What it reads, in the layout of the plan; perhaps without a label.
        plan: What ``plan_forward`` found for this model.

    Returns:
        The summed loss in nats, in float32, and the number of labels that are the argmax.
    """
    if not plan.label_only:
        return cross_entropy(label_logits(model, batch, plan), batch.targets)
    causal = unwrapped(model)
    vocabulary = causal.get_input_embeddings().num_embeddings

    def answer(hidden: torch.Tensor, head: Head) -> tuple[torch.Tensor, torch.Tensor]:
        # Asked for here: weights that processes share are other tensors while they are gathered.
        return chunked_loss(hidden, batch.targets, head, head_weights(causal), vocabulary)

    with answering(causal, batch.positions, answer):
        found: tuple[torch.Tensor, torch.Tensor] = model(**_arguments(batch, plan))
    return found


def _arguments(batch: TokenBatch, plan: ForwardPlan) -> dict[str, Any]:
    arguments: dict[str, Any] = {"input_ids": batch.input_ids, "use_cache": False}
    if batch.bounds is not None:
        # The names that transformers hands through to its attention.
        bounds = batch.bounds.to(torch.int32)
        arguments |= {
            "position_ids": batch.position_ids,
            "cu_seq_lens_q": bounds,
            "cu_seq_lens_k": bounds,
            "max_length_q": batch.longest,
            "max_length_k": batch.longest,
        }
    elif plan.attention_mask:
        arguments["attention_mask"] = batch.attention_mask
    return arguments
