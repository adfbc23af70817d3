"""What a model reads in one pass: tokens, and which of them it learns to write."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TokenSequence:
    """One text or conversation with the answers that are learned of it.

    An answer's labels are ``input_ids[start : stop - 1]`` and then its end: in a conversation that
    goes on, the token at ``stop - 1`` may be another, as where a format writes the end of sequence
    behind the last answer alone. The last answer is where the sequence ends.

    Attributes:
        input_ids: Tokens, the last of which nothing is predicted from; shape (length,).
        starts: Where each answer's first label stands, from 1; shape (answers,).
        stops: The position after each answer's last label; shape (answers,).
        ends: Each answer's last label; shape (answers,).
    """

    input_ids: NDArray[np.int32]
    starts: NDArray[np.int32]
    stops: NDArray[np.int32]
    ends: NDArray[np.int32]

    @classmethod
    def of_answer(cls, input_ids: NDArray[np.int32], prompt_length: int) -> TokenSequence:
        """Makes a sequence of one answer.

        Args:
            input_ids: Prompt, answer and end; shape (length,), at least one token.
            prompt_length: Where the answer begins. Nothing is predicted before the first token.
        """
        bounds = [[max(prompt_length, 1)], [len(input_ids)], [input_ids[-1]]]
        return cls(input_ids, *(np.array(bound, dtype=np.int32) for bound in bounds))

    def part(self, first: int, last: int) -> TokenSequence:
        """Takes some of the answers, with all that stands before them.

        Args:
            first: The first answer.
            last: The answer after the last; no more than ``first`` for a sequence without labels.
        """
        kept = slice(first, max(first, last))
        stop = int(self.stops[last - 1]) if last > first else 2
        return TokenSequence(
            self.input_ids[:stop], self.starts[kept], self.stops[kept], self.ends[kept]
        )

    @property
    def label_count(self) -> int:
        """How many labels there are."""
        return int((self.stops - self.starts).sum())

    @property
    def positions(self) -> NDArray[np.int64]:
        """Where a label is predicted from, ascending; shape (labels,)."""
        spans = [np.arange(s - 1, e - 1) for s, e in zip(self.starts, self.stops, strict=True)]
        return np.concatenate([np.zeros(0, dtype=np.int64), *spans])

    @property
    def labels(self) -> NDArray[np.int32]:
        """The labels, in the order of the positions; shape (labels,)."""
        spans = zip(self.starts, self.stops, self.ends, strict=True)
        parts = [part for s, e, end in spans for part in (self.input_ids[s : e - 1], [end])]
        return np.concatenate([np.zeros(0, dtype=np.int32), *parts]).astype(np.int32)
