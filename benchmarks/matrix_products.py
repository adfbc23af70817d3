"""What a machine would do if nothing but matrix products took time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

_TRIES = 20


def operations_a_second(
    model: Any,
    rows: int,
    dtype: torch.dtype,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Times the product of a layer's widest matrix alone; the best of several tries counts.

    Args:
        model: A causal language model; its hidden and feed-forward sizes are taken.
        rows: Tokens that are multiplied at once.
        dtype: What they are computed in.
        clock: Gives seconds; those of this process alone leave its neighbours out.

    Returns:
        Floating point operations a second.
    """
    config = model.config.get_text_config()
    inner, columns = config.hidden_size, config.intermediate_size
    left, right = torch.ones(rows, inner, dtype=dtype), torch.ones(columns, inner, dtype=dtype)
    best = float("inf")
    for _ in range(_TRIES):
        began = clock()
        torch.nn.functional.linear(left, right)
        best = min(best, clock() - began)
    return 2 * rows * inner * columns / best


def operations_of_answers(model: Any, prompt_tokens: int, answer_tokens: int) -> float:
    """Counts what answers need: each token once through all layers, the answers' through the head.

    Attention itself, a few percent of short texts, is left out: a limit may be too high.

    Args:
        model: A causal language model.
        prompt_tokens: Of all prompts.
        answer_tokens: Of all answers.

    Returns:
        Floating point operations.
    """
    head = model.get_output_embeddings().weight.numel()
    embedding = model.get_input_embeddings().weight
    tied = model.get_output_embeddings().weight is embedding
    layers = sum(weight.numel() for weight in model.parameters()) - head
    layers -= 0 if tied else embedding.numel()
    return 2.0 * (layers * (prompt_tokens + answer_tokens) + head * answer_tokens)
