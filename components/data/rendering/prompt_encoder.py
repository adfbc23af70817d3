"""Token ids of prompts: of a conversation, what was said before is encoded once.

The prompts of one conversation come one after the other, each with all that the one before holds.
Encoded whole, a conversation of n answers would take the time of n * n / 2 messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kfp_llm_tuning.components.data.rendering.control_tokens import has_marks
from kfp_llm_tuning.components.data.rendering.text_encoder import TextEncoder


class _Piece(NamedTuple):
    """What of a prompt is encoded.

    Attributes:
        text: Its own part.
        continues: Whether it stands behind what all the prompts before it have said.
        is_asked: Whether the words that every prompt ends with stand behind it.
    """

    text: str
    continues: bool
    is_asked: bool


class PromptEncoder:
    """Encodes prompts of one format."""

    def __init__(self, texts: TextEncoder, anchor: str) -> None:
        """Finds the place in every prompt from which on a longer one may be encoded by itself.

        Args:
            texts: Encodes texts.
            anchor: What every prompt ends with.
        """
        self._texts = texts
        self._anchor = anchor
        self._seam = texts.last_seam(anchor)
        # What stands behind that place in every prompt.
        self._asks = anchor[self._seam.place :] if self._seam else ""
        [self._asks_ids] = texts.encode([self._asks])

    def encode(self, prompts: Sequence[str]) -> list[list[int]]:
        """Turns prompts into the tokens that each has by itself.

        Args:
            prompts: Rendered; those of one conversation in their order.
        """
        if self._seam is None:
            return self._texts.encode(prompts)
        pieces = self._pieces(prompts, self._seam.token)
        encoded = self._texts.encode([piece.text for piece in pieces])
        said: list[int] = []
        ids = []
        for piece, tokens in zip(pieces, encoded, strict=True):
            said = said + tokens if piece.continues else tokens
            ids.append(said + self._asks_ids if piece.is_asked else said)
        return ids

    def _pieces(self, prompts: Sequence[str], seam_token: str) -> list[_Piece]:
        pieces = []
        said = ""
        for prompt in prompts:
            if has_marks(prompt) or not prompt.endswith(self._anchor):
                pieces.append(_Piece(prompt, continues=False, is_asked=False))
                said = ""
                continue
            before, said = said, prompt[: len(prompt) - len(self._asks)]
            # Nothing stands before the first, nor before what has just been encoded whole.
            continues = bool(before) and prompt.startswith(before + seam_token)
            text = said[len(before) :] if continues else said
            pieces.append(_Piece(text, continues, is_asked=True))
        return pieces
