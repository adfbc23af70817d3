"""Token ids of rendered texts: those of the tokenizer's own batch call, in less time.

Where every byte is a token, a table does what the tokenizer would. Elsewhere a text may be encoded
in two parts where a control token stands between: tokenizers take these out first, and read what
stands on either side by itself.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kfp_llm_tuning.components.data.rendering.control_tokens import encode_marked, has_marks

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BYTES = 256


class Seam(NamedTuple):
    """Where a text may be encoded in two parts.

    Attributes:
        place: Where the second part begins.
        token: What that part must begin with in every text: a control token, or nothing.
    """

    place: int
    token: str


class TextEncoder:
    """Encodes texts with one tokenizer, without the special tokens that it puts around them."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Looks whether every byte is a token.

        Args:
            tokenizer: The model's tokenizer.
        """
        self._tokenizer = tokenizer
        self._backend = getattr(tokenizer, "backend_tokenizer", None)
        self._tokens_of_bytes = _tokens_of_bytes(tokenizer, self._backend)

    @property
    def every_byte_is_a_token(self) -> bool:
        """Whether a text has as many tokens as bytes, and which it has depends on no other."""
        return self._tokens_of_bytes is not None

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Turns texts into tokens; those between marks of `control_tokens` are letters."""
        marked = {row for row, text in enumerate(texts) if has_marks(text)}
        unmarked = iter(
            self._encode_batch([text for row, text in enumerate(texts) if row not in marked])
        )
        return [
            encode_marked(self._tokenizer, text) if row in marked else next(unmarked)
            for row, text in enumerate(texts)
        ]

    def last_seam(self, text: str) -> Seam | None:
        """Finds the last place where this text, and any that it is a part of, has a seam.

        Args:
            text: A text without marks.

        Returns:
            The seam; None where there is none.
        """
        if self.every_byte_is_a_token:
            return Seam(len(text), "")
        if self._backend is None:
            return None
        added = list(self._backend.get_added_tokens_decoder().values())
        split_special = self._tokenizer.split_special_tokens
        seams = (
            Seam(text.rfind(token.content), token.content)
            for token in added
            if token.content in text and _makes_seam(token, added, split_special)
        )
        return max(seams, default=None)

    def _encode_batch(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        if self._tokens_of_bytes is not None:
            table = self._tokens_of_bytes
            return [table[np.frombuffer(text.encode(), np.uint8)].tolist() for text in texts]
        if self._backend is None:
            ids: list[list[int]] = self._tokenizer(texts, add_special_tokens=False)["input_ids"]
            return ids
        # What the tokenizer's own batch call does, without character offsets and masks.
        _settle(self._backend, self._tokenizer.split_special_tokens)
        encoded = self._backend.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in encoded]


def _settle(backend: Any, split_special_tokens: bool) -> None:
    """Takes back what earlier calls asked for; nothing is set while another thread encodes."""
    if backend.truncation is not None:
        backend.no_truncation()
    if backend.padding is not None:
        backend.no_padding()
    if backend.encode_special_tokens != split_special_tokens:
        backend.encode_special_tokens = split_special_tokens


def _tokens_of_bytes(tokenizer: PreTrainedTokenizerBase, backend: Any) -> NDArray[np.int32] | None:
    """Lists the token of every byte; shape (256,). None where other tokens may be written."""
    if backend is None or not tokenizer.split_special_tokens:
        return None
    added = backend.get_added_tokens_decoder().values()
    if backend.get_vocab_size() > _BYTES + len(added) or not all(one.special for one in added):
        return None
    rules = json.loads(backend.to_str())
    model, words = rules["model"], rules["pre_tokenizer"] or {}
    joins = ("merges", "dropout", "continuing_subword_prefix", "end_of_word_suffix")
    is_bytes = (
        model["type"] == "BPE"
        and not any(model[name] for name in (*joins, "ignore_merges"))
        and rules["normalizer"] is None
        and words.get("type") == "ByteLevel"
        and not words["add_prefix_space"]
    )
    symbols = _symbols_of_bytes()
    if not is_bytes or not all(symbol in model["vocab"] for symbol in symbols):
        return None
    return np.array([model["vocab"][symbol] for symbol in symbols], dtype=np.int32)


def _symbols_of_bytes() -> list[str]:
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    symbols: dict[int, str] = bytes_to_unicode()
    return [symbols[byte] for byte in range(_BYTES)]


def _makes_seam(token: Any, added: Sequence[Any], split_special_tokens: bool) -> bool:
    """Tells whether a token is found wherever its letters stand, with nothing of what is before.

    The tokenizer looks from left to right for the longest added token. So no other one may begin
    earlier and hold this one's first letter, and a longer one in its place must do as well.
    """
    first = token.content[0]
    longer = [other for other in added if other.content.startswith(token.content)]
    return (
        not first.isspace()
        and not any(first in other.content[1:] for other in added)
        and all(_stands_alone(other, split_special_tokens) for other in longer)
    )


def _stands_alone(token: Any, split_special_tokens: bool) -> bool:
    is_text = token.special and split_special_tokens
    return not (is_text or token.normalized or token.lstrip or token.single_word)
