"""Near duplicates among very many texts: a search that compares few of them, in little memory.

Pairs to compare are found by MinHash in bands (Leskovec, Rajaraman and Ullman, Mining of Massive
Datasets, 3.4): of the pairs that are 80% alike 99.7% are found, of those 90% alike all but one in
10^6. The bands lie on disk and are sorted one after the other, so that memory holds some thirty
bytes a text. Texts are compared in the order of their digests: what is found does not depend on the
order in which they came.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy
from numpy.typing import NDArray

from kfp_llm_tuning.components.data.similarity.files import ColumnFile
from kfp_llm_tuning.components.data.similarity.sketches import (
    ALIKE,
    Hashes,
    Sketch,
    Sketches,
    common_pieces,
    likeness,
    without,
)

# Fewer pieces of its own tell too little about a text.
_FEWEST_PIECES = 8
# A pair of likeness s is compared with probability 1 - (1 - s**ROWS)**BANDS.
_BANDS = 19
_ROWS = 6
# Of many texts that are somewhat alike, as those of one template are, each would be compared with
# all. Those 80% alike share five of the bands on average, those 60% alike one.
_MOST_COMPARED = 64
_MOST_IN_BUCKET = 64
# Texts in which common pieces are looked for: their share is known to one in a hundred.
_SAMPLED_TEXTS = 10_000
_BATCH = 4096
# A text of a crowded bucket is compared with the same ones again and again.
_KEPT_SKETCHES = 4096
_SEED = 20_231_114
# Multiplying by an odd number permutes the 32-bit hashes, which are well mixed already.
_FACTORS = numpy.random.default_rng(_SEED).integers(
    0, 2**32, (_BANDS * _ROWS, 1), numpy.uint32
) | numpy.uint32(1)
_MIXERS = numpy.random.default_rng(_SEED + 1).integers(0, 2**63, _ROWS, numpy.uint64) * 2 + 1


@dataclass(frozen=True)
class NearPair:
    """Two texts that are nearly the same.

    Attributes:
        first: Index of the earlier text.
        second: Index of the later one.
        likeness: Jaccard index of their pieces, 0 to 1.
    """

    first: int
    second: int
    likeness: float


def sampled(keys: NDArray[numpy.uint64]) -> NDArray[numpy.int64]:
    """Chooses the texts that stand for all: all of them, or a random ten thousand.

    Args:
        keys: Digests of the texts.

    Returns:
        Their indices; the same texts in whatever order these came.
    """
    return numpy.argsort(keys, kind="stable")[:_SAMPLED_TEXTS]


def sampled_common_pieces(sketches: Sketches, keys: NDArray[numpy.uint64]) -> Hashes:
    """Finds what stands in a fifth of the texts, as those that stand for all show.

    Args:
        sketches: One a text.
        keys: Digests of the same texts.
    """
    return common_pieces(sketches[int(row)] for row in sampled(keys))


class NearDuplicates:
    """Groups of texts that are nearly the same, among given ones."""

    def __init__(
        self,
        sketches: Sketches,
        keys: NDArray[numpy.uint64],
        alike: float = ALIKE,
        common: Hashes | None = None,
    ) -> None:
        """Looks for them.

        Args:
            sketches: One a text.
            keys: Digests of the same texts; equal ones are one text.
            alike: Jaccard index from which on two are nearly the same.
            common: Their ``sampled_common_pieces`` where they are known.
        """
        self._sketches = sketches
        self._alike = alike
        self._common = sampled_common_pieces(sketches, keys) if common is None else common
        self._own = lru_cache(_KEPT_SKETCHES)(self._read_own)
        # Positions count different texts in the order of their keys.
        self._firsts, self._positions = _different(keys)
        self._parents = array("i", range(len(self._firsts)))
        self._compared = bytearray(len(self._firsts))
        self._join_all()

    @property
    def groups(self) -> NDArray[numpy.int32]:
        """Of each text the first one, by digest, of those that it is nearly the same as."""
        return self._firsts[self._roots()][self._positions]

    def pairs(self) -> Iterator[NearPair]:
        """Gives, for every text but exact duplicates, the first earlier one that is nearly it.

        Yields:
            At most one pair a text, in order of the later text.
        """
        firsts, seconds, shares = array("q"), array("q"), array("d")
        for members in _runs(self._roots()):
            rows = numpy.sort(self._firsts[members])
            for number, row in enumerate(rows):
                for earlier in rows[: min(number, _MOST_COMPARED)]:
                    share = self._likeness(int(earlier), int(row))
                    if share >= self._alike:
                        firsts.append(earlier)
                        seconds.append(row)
                        shares.append(share)
                        break
        for place in numpy.argsort(numpy.frombuffer(seconds, numpy.int64)) if seconds else ():
            yield NearPair(firsts[place], seconds[place], shares[place])

    def _join_all(self) -> None:
        bands, kept = self._write_bands()
        for band in range(_BANDS):
            for members in _runs(bands.read(band)):
                self._join(kept[members])

    def _write_bands(self) -> tuple[ColumnFile, NDArray[numpy.int32]]:
        """Writes the MinHash of every text that has pieces enough; gives their positions too."""
        bands = ColumnFile(_BANDS, len(self._firsts))
        kept = array("i")
        batch: list[NDArray[numpy.uint32]] = []
        for position, row in enumerate(self._firsts):
            hashes = self._read_own(int(row)).hashes
            if len(hashes) < _FEWEST_PIECES:
                continue
            kept.append(position)
            batch.append(_signature(hashes))
            if len(batch) == _BATCH:
                bands.append(numpy.stack(batch))
                batch.clear()
        if batch:
            bands.append(numpy.stack(batch))
        return bands, numpy.array(kept, numpy.int32)

    def _join(self, members: NDArray[numpy.int32]) -> None:
        """Joins those texts of a bucket that are alike."""
        kept: list[int] = []
        for position in members.tolist():
            for other in kept:
                if self._compared[position] >= _MOST_COMPARED:
                    break
                root, mine = self._root(other), self._root(position)
                if root == mine:
                    continue
                self._compared[position] += 1
                rows = int(self._firsts[other]), int(self._firsts[position])
                if self._likeness(*rows) >= self._alike:
                    self._parents[max(root, mine)] = min(root, mine)
            if len(kept) < _MOST_IN_BUCKET:
                kept.append(position)

    def _root(self, position: int) -> int:
        parents = self._parents
        while parents[position] != position:
            parents[position] = position = parents[parents[position]]
        return position

    def _roots(self) -> NDArray[numpy.int32]:
        roots = numpy.array(self._parents, numpy.int32)
        while (higher := roots[roots]).tobytes() != roots.tobytes():
            roots = higher
        return roots

    def _likeness(self, one: int, other: int) -> float:
        """Compares two texts; 0 where their sizes show that they are not alike."""
        first, second = self._own(one), self._own(other)
        sizes = sorted((len(first.hashes), len(second.hashes)))
        return likeness(first, second) if sizes[0] >= self._alike * sizes[1] else 0.0

    def _read_own(self, row: int) -> Sketch:
        return without(self._sketches[row], self._common)


def _signature(hashes: Hashes) -> NDArray[numpy.uint32]:
    """Gives the MinHash of a set, each band as one number; shape (bands,)."""
    smallest = (_FACTORS * hashes).min(axis=1).reshape(_BANDS, _ROWS)
    mixed: NDArray[numpy.uint64] = (smallest * _MIXERS).sum(axis=1, dtype=numpy.uint64)
    return (mixed >> numpy.uint64(32)).astype(numpy.uint32)


def _different(
    keys: NDArray[numpy.uint64],
) -> tuple[NDArray[numpy.int32], NDArray[numpy.int32]]:
    """Orders the texts by their keys, each once.

    Returns:
        The first text of each key, and which of these each text is.
    """
    order = numpy.argsort(keys, kind="stable").astype(numpy.int32)
    is_new = _is_new(keys[order])
    positions = numpy.empty(len(order), numpy.int32)
    positions[order] = numpy.cumsum(is_new, dtype=numpy.int32) - 1
    return order[is_new], positions


def _is_new(ascending: NDArray[Any]) -> NDArray[numpy.bool_]:
    """Tells which values are another than the one before."""
    found = numpy.ones(len(ascending), numpy.bool_)
    found[1:] = ascending[1:] != ascending[:-1]
    return found


def _runs(
    values: NDArray[numpy.uint32] | NDArray[numpy.int32],
) -> Iterator[NDArray[numpy.int64]]:
    """Gives the places of each value that occurs more than once, ascending."""
    order = numpy.argsort(values, kind="stable")
    # Whether each value is that of the one before; the first and what follows the last are not.
    same = numpy.append(~_is_new(values[order]), False)
    starts = numpy.flatnonzero(~same[:-1] & same[1:])
    ends = numpy.flatnonzero(same[:-1] & ~same[1:])
    for start, end in zip(starts, ends, strict=True):
        yield order[start : end + 1]
