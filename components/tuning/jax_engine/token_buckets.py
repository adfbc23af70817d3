"""Rows of a few lengths and a fixed number: shapes that a run compiles a handful of programs for.

A compiler for TPUs takes its time for every shape. So the sequences of a step are laid out in
passes of fixed shapes, chosen from the lengths of the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kfp_llm_tuning.components.data.encoded_set import EncodedSet
from kfp_llm_tuning.components.data.token_sequence import TokenSequence

# Each is a program to compile, for training and for evaluation.
_MOST_LENGTHS = 4
# Another length is worth its program where it saves as much of all that is computed.
_WORTH = 0.05
# Lengths are multiples of it, from the second on of the lanes of a TPU's vector registers.
_SHORT_MULTIPLE, _MULTIPLE = 32, 128
# Room for labels beside those of rows of the mean, and what their number is a multiple of.
_LABEL_ROOM, _LABEL_MULTIPLE = 1.25, 8
# A pass costs as much as so many tokens of each shard: its weights are read, or gathered. Reckoned.
_PASS_TOKENS = 256


@dataclass(frozen=True)
class Bucket:
    """The shape of one pass.

    Attributes:
        length: Tokens of a row.
        rows: Rows of the pass, all shards together.
        labels: Label positions of one shard's rows.
        shards: Shards of the rows: the data axis of the mesh.
    """

    length: int
    rows: int
    labels: int
    shards: int

    @property
    def cost(self) -> int:
        """What the pass costs, in tokens."""
        return self.rows * self.length + self.shards * _PASS_TOKENS

    @property
    def rows_of_shard(self) -> int:
        """Rows of one shard."""
        return self.rows // self.shards


@dataclass(frozen=True)
class MicroBatch:
    """Sequences in their places of one pass.

    Attributes:
        bucket: The shape.
        places: For each row the index of its sequence; -1 for a row of padding. Shape (rows,).
    """

    bucket: Bucket
    places: NDArray[np.int64]

    def tokens(self, sequences: Sequence[TokenSequence], rows: slice) -> NDArray[np.int32]:
        """Lays out some of the rows.

        Args:
            sequences: Those that the places number.
            rows: Which rows.

        Returns:
            Tokens, padded on the right with 0; shape (rows, length).
        """
        chosen = self.places[rows]
        found = np.zeros((len(chosen), self.bucket.length), dtype=np.int32)
        for row, place in enumerate(chosen.tolist()):
            if place >= 0:
                ids = sequences[place].input_ids[:-1]
                found[row, : len(ids)] = ids
        return found

    def labels(
        self, sequences: Sequence[TokenSequence], shards: slice
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Lays out the labels of some of the shards.

        Args:
            sequences: Those that the places number.
            shards: Which shards.

        Returns:
            Positions in the flattened rows of the shard, and targets, -1 where there is none; both
            of shape (shards, labels).
        """
        bucket = self.bucket
        numbers = range(*shards.indices(bucket.shards))
        positions = np.zeros((len(numbers), bucket.labels), dtype=np.int32)
        targets = np.full((len(numbers), bucket.labels), -1, dtype=np.int32)
        for index, shard in enumerate(numbers):
            filled = 0
            own = self.places[shard * bucket.rows_of_shard : (shard + 1) * bucket.rows_of_shard]
            for row, place in enumerate(own.tolist()):
                if place < 0:
                    continue
                sequence = sequences[place]
                stop = filled + sequence.label_count
                positions[index, filled:stop] = sequence.positions + row * bucket.length
                targets[index, filled:stop] = sequence.labels
                filled = stop
        return positions, targets


class TokenBuckets:
    """The shapes of a run's passes.

    Attributes:
        buckets: From the shortest rows to the longest.
    """

    def __init__(self, buckets: Sequence[Bucket]) -> None:
        """Takes the shapes.

        Args:
            buckets: From the shortest rows to the longest; at least one.
        """
        self.buckets = tuple(buckets)

    @classmethod
    def of_data(
        cls,
        lengths: NDArray[np.int64],
        labels: NDArray[np.int64],
        *,
        shards: int,
        tokens: int,
        most_rows: int,
    ) -> TokenBuckets:
        """Chooses shapes for sequences.

        Args:
            lengths: Tokens of each sequence; shape (sequences,), at least one.
            labels: Labels of each sequence; shape (sequences,).
            shards: Shards of the rows.
            tokens: Tokens of one shard in one pass; a longer row is a pass of its own.
            most_rows: More sequences are never laid out at once.
        """
        rows = np.maximum(lengths - 1, 1)
        buckets = []
        most_of_shard = -(-most_rows // shards)
        below = 0
        for length in _choose_lengths(rows):
            passes = -(-most_of_shard // max(tokens // length, 1))
            of_shard = -(-most_of_shard // passes)
            shorter, own = rows <= length, (rows > below) & (rows <= length)
            usual = float(labels[own].mean()) * of_shard * _LABEL_ROOM
            most = max(int(labels[shorter].max()), round(usual), 1)
            most = -(-most // _LABEL_MULTIPLE) * _LABEL_MULTIPLE
            buckets.append(Bucket(length, of_shard * shards, most, shards))
            below = length
        return cls(buckets)

    @classmethod
    def of_set(
        cls, dataset: EncodedSet, *, shards: int, tokens: int, most_rows: int
    ) -> TokenBuckets:
        """Chooses shapes for an encoded set; as :meth:`of_data`."""
        return cls.of_data(
            dataset.lengths,
            dataset.label_counts,
            shards=shards,
            tokens=tokens,
            most_rows=min(most_rows, len(dataset)),
        )

    def fill_with(self, sequences: Sequence[TokenSequence]) -> list[MicroBatch]:
        """Lays sequences out; as :meth:`fill`."""
        lengths = [len(sequence.input_ids) for sequence in sequences]
        return self.fill(lengths, [sequence.label_count for sequence in sequences])

    def fill(self, lengths: Sequence[int], labels: Sequence[int]) -> list[MicroBatch]:
        """Lays sequences out in the passes that cost the least, longest first.

        Args:
            lengths: Tokens of each sequence; at least one sequence.
            labels: Labels of each.
        """
        order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
        best: dict[int, tuple[int, int, MicroBatch | None]] = {0: (0, 0, None)}
        # Every way to lay out the first so many sequences, by the cheapest one.
        for done in range(len(order)):
            if done not in best:
                continue
            needed = max(lengths[order[done]] - 1, 1)
            for bucket in self.buckets:
                if bucket.length < needed:
                    continue
                batch, count = _filled(bucket, order[done:], labels)
                cost = best[done][0] + bucket.cost
                if done + count not in best or cost < best[done + count][0]:
                    best[done + count] = (cost, done, batch)
        found: list[MicroBatch] = []
        done = len(order)
        while done:
            _, done, last = best[done]
            assert last is not None
            found.append(last)
        return found[::-1]


def _filled(bucket: Bucket, order: Sequence[int], labels: Sequence[int]) -> tuple[MicroBatch, int]:
    """Deals sequences to the shards until one has no place; gives how many have one."""
    rows: list[list[int]] = [[] for _ in range(bucket.shards)]
    counts = [0] * bucket.shards
    done = 0
    for index in order[: bucket.rows]:
        free = (shard for shard in range(bucket.shards) if len(rows[shard]) < bucket.rows_of_shard)
        shard = min(free, key=lambda one: (counts[one], len(rows[one])))
        if counts[shard] + labels[index] > bucket.labels:
            break
        rows[shard].append(index)
        counts[shard] += labels[index]
        done += 1
    padded = [row + [-1] * (bucket.rows_of_shard - len(row)) for row in rows]
    return MicroBatch(bucket, np.array(padded, dtype=np.int64).reshape(-1)), done


def _choose_lengths(rows: NDArray[np.int64]) -> list[int]:
    """Chooses the fewest lengths that pad little: each further one must be worth its program."""
    rounded = _round_up(rows)
    candidates, counts = np.unique(rounded, return_counts=True)
    chosen, padded = _cut(candidates, counts, 1)
    for number in range(2, min(_MOST_LENGTHS, len(candidates)) + 1):
        finer, less = _cut(candidates, counts, number)
        if padded - less > _WORTH * padded:
            chosen, padded = finer, less
    return chosen


def _round_up(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    multiple = np.where(rows <= _MULTIPLE, _SHORT_MULTIPLE, _MULTIPLE)
    return -(-rows // multiple) * multiple


def _cut(
    candidates: NDArray[np.int64], counts: NDArray[np.int64], number: int
) -> tuple[list[int], float]:
    """Chooses so many of the candidates that rows, each padded to the next, have fewest tokens.

    Args:
        candidates: Lengths, ascending.
        counts: Rows of each.
        number: How many to choose, no more than there are.

    Returns:
        The chosen ones, ascending, the last candidate among them; and the tokens.
    """
    sums = np.concatenate([[0], np.cumsum(counts)])
    # Tokens of the rows up to each candidate, where that is the last of so many chosen ones.
    tokens = sums[1:] * candidates.astype(np.float64)
    chosen_before: list[NDArray[np.int64]] = []
    for _ in range(number - 1):
        # Chosen before: the row; the last chosen: the column.
        all_ways = tokens[:, None] + (sums[None, 1:] - sums[1:, None]) * candidates[None, :]
        all_ways[np.tril_indices(len(candidates))] = np.inf
        chosen_before.append(all_ways.argmin(axis=0))
        tokens = all_ways.min(axis=0)
    place = len(candidates) - 1
    fewest = float(tokens[place])
    chosen = [int(candidates[place])]
    for before in reversed(chosen_before):
        place = int(before[place])
        chosen.append(int(candidates[place]))
    return chosen[::-1], fewest
