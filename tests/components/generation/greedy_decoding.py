"""What a model writes when it is asked in the plainest way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from kfp_llm_tuning.components.generation.engine import Generation


def greedy(model: Any, prompt: Sequence[int], count: int, stops: Sequence[int]) -> Generation:
    """Writes the likeliest tokens, reading everything anew for each, with no cache."""
    tokens = list(prompt)
    for _ in range(count):
        with torch.no_grad():
            token = int(model(torch.tensor([tokens])).logits[0, -1].argmax())
        if token in stops:
            return Generation(tokens[len(prompt) :], finished=True)
        tokens.append(token)
    return Generation(tokens[len(prompt) :], finished=False)
