"""Texts that are unlike, and how much two of them are alike by definition."""

from __future__ import annotations

import random

from kfp_llm_tuning.components.data.similarity.sketches import PIECE_BYTES


def words(count: int, seed: int) -> str:
    source = random.Random(seed)
    return " ".join(f"{source.randrange(10**6):x}" for _ in range(count))


def exact_likeness(first: str, second: str) -> float:
    """The Jaccard index of two texts' pieces, by definition."""
    one, other = (
        {text[i : i + PIECE_BYTES] for i in range(len(text) - PIECE_BYTES + 1)}
        for text in (first, second)
    )
    return len(one & other) / len(one | other)
