"""The text of what a model wrote."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any

from kfp_llm_tuning.components.generation.engine import Tokens

logger = logging.getLogger(__name__)


def decode(
    tokenizer: Any, texts: Sequence[Tokens], kept: Collection[int] = frozenset()
) -> list[str]:
    """Turns token ids into text, special tokens left out.

    A model's vocabulary may be larger than its tokenizer's (tables of embeddings are padded), and
    the model may write such a token. It has no text, and some tokenizers fail on it: it is left
    out, and the log tells.

    Args:
        tokenizer: The model's.
        texts: Token ids.
        kept: Special tokens that are not left out.

    Returns:
        One string each.
    """
    known = known_tokens(tokenizer)
    for token in set().union(*texts) - known:
        _tell_unknown(token)
    if kept:
        known -= special_tokens(tokenizer) - frozenset(kept)
    return [
        str(
            tokenizer.decode(
                [token for token in text if token in known],
                skip_special_tokens=not kept,
                clean_up_tokenization_spaces=False,
            )
        )
        for text in texts
    ]


# A process has one model, and before a test of a registered one perhaps another.
@lru_cache(maxsize=2)
def known_tokens(tokenizer: Any) -> frozenset[int]:
    """Lists the ids of the tokens that a tokenizer knows."""
    return frozenset(tokenizer.get_vocab().values())


@lru_cache(maxsize=2)
def special_tokens(tokenizer: Any) -> frozenset[int]:
    """Lists the ids of a tokenizer's special tokens."""
    added = tokenizer.added_tokens_decoder.items()
    return frozenset(
        [*tokenizer.all_special_ids, *(token for token, entry in added if entry.special)]
    )


@lru_cache(maxsize=1024)
def _tell_unknown(token: int) -> None:
    """Tells each token once."""
    logger.warning("Token %d is left out of the text: the tokenizer does not know it.", token)
