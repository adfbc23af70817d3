"""How sequences are laid out in one forward pass, and how many of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from kfp_llm_tuning.components.data.token_sequence import TokenSequence
from kfp_llm_tuning.components.models.token_batch import TokenBatch


class TokenLayout(ABC):
    """Lays sequences out for one forward pass."""

    @abstractmethod
    def tokens(self, count: int, longest: int, total: int) -> int:
        """Counts the tokens that a forward pass computes, padding among them.

        Args:
            count: How many sequences there are.
            longest: Tokens of the longest.
            total: Tokens of all.
        """

    @abstractmethod
    def collate(self, sequences: Sequence[TokenSequence]) -> TokenBatch:
        """Lays sequences out.

        Args:
            sequences: At least one.

        Returns:
            Tensors on the CPU.
        """

    def fill(self, lengths: NDArray[np.int64], budget: int) -> list[NDArray[np.int64]]:
        """Cuts sequences into forward passes, those of like length together.

        Args:
            lengths: Tokens of each sequence; shape (sequences,).
            budget: Tokens of a forward pass. A longer sequence is one of its own.

        Returns:
            Indices into ``lengths``, an array a forward pass, longest first so that a lack of
            memory shows at once.
        """
        order = np.argsort(-lengths, kind="stable")
        cuts, begin, total = [], 0, 0
        for end, length in enumerate(lengths[order].tolist()):
            total += length
            longest = int(lengths[order[begin]])
            if end > begin and self.tokens(end - begin + 1, longest, total) > budget:
                cuts.append(end)
                begin, total = end, length
        return np.split(order, cuts)


@dataclass(frozen=True)
class PaddedRows(TokenLayout):
    """A row a sequence, padded on the right to the longest.

    Attributes:
        padding: Token id of the padding; any id of the vocabulary does.
        multiple_of: Rounds the width up, for tensor cores.
    """

    padding: int = 0
    multiple_of: int = 1

    def tokens(self, count: int, longest: int, total: int) -> int:
        """Counts the area of the rows."""
        return count * longest

    def collate(self, sequences: Sequence[TokenSequence]) -> TokenBatch:
        """Lays sequences out as rows, with a mask."""
        longest = max(len(sequence.input_ids) for sequence in sequences) - 1
        width = max(-(-longest // self.multiple_of) * self.multiple_of, 1)
        shape = (len(sequences), width)
        input_ids = np.full(shape, self.padding, dtype=np.int64)
        mask = np.zeros(shape, dtype=np.int64)
        for row, sequence in enumerate(sequences):
            last = len(sequence.input_ids) - 1
            input_ids[row, :last] = sequence.input_ids[:-1]
            mask[row, :last] = 1
        starts = range(0, len(sequences) * width, width)
        return TokenBatch(
            torch.from_numpy(input_ids),
            *_labels(sequences, starts),
            attention_mask=torch.from_numpy(mask),
            longest=longest,
        )


@dataclass(frozen=True)
class EndToEnd(TokenLayout):
    """One row of all sequences, without padding; positions begin anew with each."""

    def tokens(self, count: int, longest: int, total: int) -> int:
        """Counts the length of the row."""
        return total

    def collate(self, sequences: Sequence[TokenSequence]) -> TokenBatch:
        """Lays sequences out one behind the other, with their bounds."""
        lengths = np.array([len(sequence.input_ids) - 1 for sequence in sequences])
        bounds = np.concatenate([[0], np.cumsum(lengths)])
        input_ids = np.concatenate([sequence.input_ids[:-1] for sequence in sequences])
        places = np.arange(bounds[-1]) - np.repeat(bounds[:-1], lengths)
        return TokenBatch(
            torch.from_numpy(input_ids.astype(np.int64)[None]),
            *_labels(sequences, bounds.tolist()),
            position_ids=torch.from_numpy(places[None]),
            bounds=torch.from_numpy(bounds),
            longest=int(lengths.max()),
        )


def _labels(
    sequences: Sequence[TokenSequence], starts: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Places labels of sequences that begin so far into the flattened rows."""
    positions = np.concatenate(
        [sequence.positions + start for sequence, start in zip(sequences, starts, strict=False)]
    )
    targets = np.concatenate([sequence.labels for sequence in sequences])
    return torch.from_numpy(positions), torch.from_numpy(targets.astype(np.int64))
