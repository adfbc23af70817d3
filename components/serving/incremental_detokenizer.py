"""The text of an answer while its tokens come: streamed in whole characters, ended by stop texts.

A token may hold a part of a character only, and what a token reads like may depend on the one
before it. So each token is decoded behind the one before, and text is settled where it ends in a
whole character. Texts settled one after the other are together what all tokens decode to at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

# What decoders write for bytes that are no character, or not yet.
_NO_CHARACTER = "\ufffd"


class IncrementalDetokenizer:
    """Text that grows token by token.

    Attributes:
        text: What is settled so far, without the stop text and what follows it.
        starts: Where in the text each token begins.
        stopped: Whether a stop text has ended it.
    """

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        bytes_alone: Collection[int],
        stops: Sequence[str],
    ) -> None:
        """Begins with no text.

        Args:
            decode: Turns tokens into text.
            bytes_alone: Tokens that are single bytes, as of `TunedModel.byte_tokens`. A run of
                them is decoded as a whole: what one reads like is known when the run has ended.
            stops: Texts before which the answer ends.
        """
        self.text = ""
        self.starts: list[int] = []
        self.stopped = False
        self._decode = decode
        self._bytes_alone = bytes_alone
        self._stops = stops
        self._longest_stop = max(map(len, stops), default=0)
        self._tokens: list[int] = []
        # Tokens from `_behind` on are decoded; the text of those up to `_settled` is settled.
        self._behind = self._settled = 0
        self._taken = 0
        self._ended = False

    def add(self, token: int) -> bool:
        """Adds a token.

        Args:
            token: Its id.

        Returns:
            Whether a stop text ends the answer here.
        """
        self.starts.append(len(self.text))
        self._tokens.append(token)
        if token in self._bytes_alone:
            return False
        new = self._unsettled()
        if new and not new.endswith(_NO_CHARACTER):
            self._behind, self._settled = self._settled, len(self._tokens)
            self._settle(new)
        return self.stopped

    def end(self) -> None:
        """Settles what is left: no token follows that could complete a character."""
        self._settle(self._unsettled())
        self._ended = True

    def take(self) -> str:
        """Takes what was not taken yet, as far as it cannot become the beginning of a stop text."""
        end = len(self.text)
        if not (self._ended or self.stopped):
            end -= self._maybe_stop()
        piece = self.text[self._taken : end]
        self._taken += len(piece)
        return piece

    def tokens_taken(self) -> int:
        """Counts the tokens that begin within the text that was taken."""
        if self._ended and not self.stopped:
            return len(self._tokens)
        return sum(start < self._taken for start in self.starts)

    def _unsettled(self) -> str:
        before = self._decode(self._tokens[self._behind : self._settled])
        return self._decode(self._tokens[self._behind :])[len(before) :]

    def _settle(self, new: str) -> None:
        searched = max(0, len(self.text) - self._longest_stop + 1)
        self.text += new
        found = [at for stop in self._stops if (at := self.text.find(stop, searched)) >= 0]
        if found:
            self.text = self.text[: min(found)]
            self.stopped = True

    def _maybe_stop(self) -> int:
        """Counts the characters at the end with which a stop text may begin."""
        for length in range(min(self._longest_stop - 1, len(self.text)), 0, -1):
            if any(stop.startswith(self.text[-length:]) for stop in self._stops):
                return length
        return 0
