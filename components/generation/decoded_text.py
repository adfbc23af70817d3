"""The text of what a model wrote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kfp_llm_tuning.components.generation.engine import Tokens


def decode(tokenizer: Any, texts: Sequence[Tokens]) -> list[str]:
    """Turns token ids into text, special tokens left out.

    Args:
        tokenizer: The model's.
        texts: Token ids.

    Returns:
        One string each.
    """
    decoded: list[str] = tokenizer.batch_decode(
        [list(text) for text in texts],
        skip_special_tokens=True,
        clean_up_tokenization_spaces=False,
    )
    return decoded
