"""Finds by trial how a model may be called: never by its name."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Iterator
from typing import Any

import torch

from kfp_llm_tuning.components.models.document_attention import kernels_of, register
from kfp_llm_tuning.components.models.label_head import answering, head_weights
from kfp_llm_tuning.components.models.label_only_loss import ForwardPlan, label_logits, unwrapped
from kfp_llm_tuning.components.models.token_batch import TokenBatch

logger = logging.getLogger(__name__)

# What a trial with something that a model does not know may raise.
_REFUSALS = (AttributeError, ImportError, LookupError, RuntimeError, TypeError, ValueError)
_SHORT, _SHORTER = 8, 3
# No sequence is longer: 8,192 tokens of context and 1,024 of an answer.
_LONGEST_WINDOW = 9216


def plan_forward(model: Any, *, packed: bool = False) -> ForwardPlan:
    """Finds the fastest safe way to call a model.

    A few tokens are run. The output layer is run at label positions alone only if that gives the
    logits of the whole, and no weight outside of it a gradient. The mask is left out only if
    changing later tokens changes no earlier logit, which right padding needs; models whose layers
    are not all full attention keep it. Sequences are laid end to end only if that gives the logits
    that they have in rows of their own, beyond a window as well.

    Args:
        model: A causal language model; its mode and gradients are left as they are.
        packed: Whether to look for attention by document. The model keeps what is found as its
            attention, and is then called with nothing else.

    Returns:
        The plan.
    """
    with _evaluating(model):
        masked = not _is_causal(model)
        plan = ForwardPlan(_has_own_head(model, masked), masked)
        return _packed(model, plan) if packed else plan


@contextlib.contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def _ids(model: Any, length: int) -> torch.Tensor:
    """Makes two sequences of tokens; shape (2, length)."""
    generator = torch.Generator().manual_seed(0)
    vocabulary = model.get_input_embeddings().num_embeddings
    ids = torch.randint(0, vocabulary, (2, length), generator=generator)
    return ids.to(next(model.parameters()).device)


def _rows(ids: torch.Tensor) -> TokenBatch:
    """Lays two sequences out as rows, the second shorter, with labels at their ends."""
    length = ids.shape[1]
    places = [*range(length - 4, length), *range(2 * length - 6, 2 * length - _SHORTER)]
    positions = torch.tensor(places, device=ids.device)
    mask = torch.ones_like(ids)
    mask[1, length - _SHORTER :] = 0
    return TokenBatch(ids, positions, ids.flatten()[positions], mask, longest=length)


def _end_to_end(rows: TokenBatch) -> TokenBatch:
    length = rows.longest
    places = torch.arange(length, device=rows.input_ids.device)
    return TokenBatch(
        rows.input_ids.flatten()[None, :-_SHORTER],
        rows.positions,
        rows.targets,
        position_ids=places.repeat(2)[None, :-_SHORTER],
        bounds=torch.tensor([0, length, 2 * length - _SHORTER], device=places.device),
        longest=length,
    )


def _is_causal(model: Any) -> bool:
    config = model.config.get_text_config()
    if _layer_kinds(config) != {"full_attention"} or getattr(config, "sliding_window", None):
        return False
    ids = _ids(model, _SHORT)
    changed = ids.clone()
    changed[:, 5:] = (ids[:, 5:] + 1) % model.get_input_embeddings().num_embeddings
    before = model(input_ids=ids, use_cache=False).logits
    after = model(input_ids=changed, use_cache=False).logits
    same = _close(before[:, :5], after[:, :5])
    # A model whose later logits do not move either has told nothing.
    return same and not torch.equal(before[:, 5:], after[:, 5:])


def _layer_kinds(config: Any) -> set[str]:
    return set(getattr(config, "layer_types", None) or ["full_attention"])


def _has_own_head(model: Any, masked: bool) -> bool:
    rows = _rows(_ids(model, _SHORT))
    expected = label_logits(model, rows, ForwardPlan(label_only=False, attention_mask=masked))
    try:
        found = label_logits(model, rows, ForwardPlan(label_only=True, attention_mask=masked))
        return (
            found.shape == expected.shape
            and _close(found, expected)
            and _head_stands_alone(unwrapped(model), rows)
        )
    except _REFUSALS as error:
        logger.debug("No logits at label positions alone with this model: %s", error)
        return False


def _head_stands_alone(causal: Any, rows: TokenBatch) -> bool:
    """Whether the output layer has no trained weights but those that it is known by."""

    def answer(hidden: torch.Tensor, head: Any) -> torch.Tensor:
        known = {id(weight) for weight in head_weights(causal)}
        others = [p for p in causal.parameters() if p.requires_grad and id(p) not in known]
        with torch.enable_grad():
            logits: torch.Tensor = head(hidden.detach().requires_grad_())
            found = torch.autograd.grad(logits.sum(), others, allow_unused=True) if others else ()
        return torch.tensor([gradient is None for gradient in found]).all()

    with answering(causal, rows.positions, answer):
        return bool(causal(input_ids=rows.input_ids, use_cache=False))


def _packed(model: Any, plan: ForwardPlan) -> ForwardPlan:
    """Tries the kernels in turn, against rows."""
    causal = unwrapped(model)
    config = model.config.get_text_config()
    kinds = _layer_kinds(config)
    if not kinds <= {"full_attention", "sliding_attention"}:
        kinds_named = ", ".join(sorted(kinds))
        return dataclasses.replace(plan, reason=f"rows: the model has layers of {kinds_named}")
    if getattr(config, "attention_dropout", 0.0):
        return dataclasses.replace(plan, reason="rows: the model has dropout in its attention")
    window = getattr(config, "sliding_window", None) or 0
    rows = _rows(_ids(model, _SHORT + min(window, _LONGEST_WINDOW)))
    # Every model understands a mask.
    expected = label_logits(model, rows, dataclasses.replace(plan, attention_mask=True))
    usual = causal.config._attn_implementation
    passed: list[str] = []
    for name, make in kernels_of(rows.input_ids.device).items():
        try:
            implementation = register(name, make())
            causal.set_attn_implementation(implementation)
            if causal.config._attn_implementation != implementation:
                raise ValueError("the model has an attention of its own")
            if _close(label_logits(model, _end_to_end(rows), plan), expected):
                return dataclasses.replace(plan, packed=True, reason="; ".join([name, *passed]))
            why = "other logits"
        except _REFUSALS as error:
            why = "not installed" if isinstance(error, ImportError) else _first_line(error)
        passed.append(f"no {name}: {why}")
    causal.set_attn_implementation(usual)
    return dataclasses.replace(plan, reason="; ".join(["rows", *passed]))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _close(left: torch.Tensor, right: torch.Tensor) -> bool:
    tolerance = 1e-4 if left.dtype == torch.float32 else 2e-2
    scale = right.float().abs().max().clamp(min=1e-6)
    return bool(((left.float() - right.float()).abs().max() / scale) < tolerance)
