"""A causal model's output layer, applied to chosen hidden states: the model's own, by itself.

An output layer is more than a matrix: models scale, cap or bias their logits. So it is the model's
own ``forward`` that is run, with its backbone replaced for the call by one that returns the hidden
states in question. What a loss needs of it is computed in chunks of them, so that the logits of a
whole batch are never held: at a vocabulary of 128k and 16k tokens they are 8 GB in float32, and
their gradient as much.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import MethodType
from typing import Any

import torch

# Maps hidden states, shape (positions, hidden), to logits, shape (positions, vocabulary).
Head = Callable[[torch.Tensor], torch.Tensor]


def chunk_values(device: torch.device) -> int:
    """Says how many logits are computed at once.

    On a GPU 512 positions at a vocabulary of 128k, enough rows for a product to run at full speed
    (reckoned, not measured). A processor is as fast with a quarter: 1,576 labels of a model of 135M
    parameters with adapters (vocabulary 49k, fp32) took 13.0, 12.9 and 13.5 processor seconds and
    6.2, 6.1 and 5.5 GiB with all at once, 2**26 and 2**24.

    Args:
        device: CPU or CUDA.
    """
    return 2**26 if device.type == "cuda" else 2**24


@contextlib.contextmanager
def answering(
    causal: Any, positions: torch.Tensor, answer: Callable[[torch.Tensor, Head], Any]
) -> Iterator[None]:
    """Lets a causal model return something else than logits, whoever calls it.

    So whatever wraps the model - adapters, several processes - finds the whole computation in one
    call.

    Args:
        causal: A causal language model of transformers, not wrapped.
        positions: Where hidden states are taken, in the flattened rows; shape (positions,).
        answer: Makes what is returned of the hidden states, shape (positions, hidden), and of the
            output layer.
    """
    backbone = causal.base_model

    def forward(**arguments: Any) -> Any:
        outputs = backbone(**arguments)
        hidden = outputs.last_hidden_state

        def head(chosen: torch.Tensor) -> torch.Tensor:
            instead = type(outputs)(**{**outputs, "last_hidden_state": chosen[None]})
            with _replaced(backbone, lambda *_, **__: instead):
                logits: torch.Tensor = whole(**arguments).logits
            return logits[0]

        return answer(hidden.flatten(0, 1).index_select(0, positions), head)

    # Not the instance's, which accelerate wraps to make every output float32.
    whole = MethodType(type(causal).forward, causal)
    with _replaced(causal, forward):
        yield


@contextlib.contextmanager
def _replaced(module: torch.nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    before = vars(module).get("forward")
    module.forward = forward
    try:
        yield
    finally:
        del module.forward
        if before is not None:
            module.forward = before


def head_weights(causal: Any) -> list[torch.nn.Parameter]:
    """Lists the trained weights outside the backbone; those that it shares are among them."""
    return [
        weight
        for module in causal.children()
        if module is not causal.base_model
        for weight in module.parameters()
        if weight.requires_grad
    ]


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
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


def chunked_loss(
    hidden: torch.Tensor,
    targets: torch.Tensor,
    head: Head,
    weights: Sequence[torch.nn.Parameter],
    vocabulary: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Computes :func:`cross_entropy` without ever holding all logits.

    The gradient of each chunk is computed with its loss, so that the output layer is run once.

    Args:
        hidden: Hidden states that labels are predicted from; shape (label tokens, hidden).
        targets: Shape (label tokens,).
        head: The output layer.
        weights: Its trained weights.
        vocabulary: Width of the logits.

    Returns:
        The summed loss and the number of correct predictions; no label gives zeros, with gradients
        of zero.
    """
    size = max(chunk_values(hidden.device) // vocabulary, 1)
    if len(targets) <= size:
        return cross_entropy(head(hidden), targets)
    if torch.is_grad_enabled():
        found: tuple[torch.Tensor, torch.Tensor] = _ChunkedLoss.apply(
            hidden, targets, head, size, *weights
        )
        return found
    parts = zip(hidden.split(size), targets.split(size), strict=True)
    return _total(cross_entropy(head(part), labels) for part, labels in parts)


def _total(parts: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
    losses, corrects = zip(*parts, strict=True)
    return torch.stack(losses).sum(), torch.stack(corrects).sum()


class _ChunkedLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        targets: torch.Tensor,
        head: Head,
        size: int,
        *weights: torch.nn.Parameter,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        of_hidden = torch.empty_like(hidden)
        of_weights: list[torch.Tensor] = []
        sums = []
        chunks = (tensor.split(size) for tensor in (hidden, targets, of_hidden))
        for part, labels, of_part in zip(*chunks, strict=True):
            inputs = [part.detach().requires_grad_(), *weights]
            with torch.enable_grad():
                loss, correct = cross_entropy(head(inputs[0]), labels)
            found = torch.autograd.grad(loss, inputs)
            of_part.copy_(found[0])
            if of_weights:
                for total, one in zip(of_weights, found[1:], strict=True):
                    total += one
            else:
                # Weights that were gathered in bfloat16 have gradients in it.
                of_weights = [one.float() for one in found[1:]]
            sums.append((loss.detach(), correct))
        ctx.save_for_backward(of_hidden, *of_weights)
        loss, correct = _total(sums)
        ctx.mark_non_differentiable(correct)
        return loss, correct

    @staticmethod
    def backward(ctx: Any, *of_results: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        of_hidden, *of_weights = (
            (gradient * of_results[0]).to(gradient.dtype) for gradient in ctx.saved_tensors
        )
        return of_hidden, None, None, None, *of_weights
