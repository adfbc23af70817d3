"""Near duplicates among texts: a sketch of every text, and a join that compares few of them.

A text's sketch is the set of its five-byte pieces, hashed; of long texts the 512 smallest hashes, a
fair sample. Likeness is the Jaccard index of two sketches (Broder 1997). The join follows prefix
filtering (Chaudhuri et al. 2006; Bayardo et al. 2007): two sets that are alike share one of their
rarest members, so only texts that share one are compared. What stands in a fifth of all texts, such
as an instruction, says nothing about likeness and is left out.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy
from numpy.typing import NDArray

Hashes: TypeAlias = NDArray[numpy.uint32]

PIECE_BYTES = 5
SKETCH_SIZE = 512
# Share of all texts from which on a piece counts as common to them.
COMMON_SHARE = 0.2
# Jaccard index from which on two texts are called nearly the same.
ALIKE = 0.8
# Fewer pieces of its own tell too little about a text.
_FEWEST_PIECES = 8
# Pieces of a long text that are hashed into its sketch; more than SKETCH_SIZE, since some repeat.
_SAMPLED_PIECES = 2048
# 2**64 divided by the golden ratio: Knuth's multiplicative hash.
_MULTIPLIER = numpy.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Sketch:
    """A sample of a text's pieces.

    Attributes:
        hashes: Ascending, each once.
        whole: Whether these are all pieces of the text.
    """

    hashes: Hashes
    whole: bool


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


def sketch(text: str) -> Sketch:
    """Makes a text's sketch.

    Args:
        text: Normalised text, of any length.

    Returns:
        Its sketch; empty for texts shorter than a piece.
    """
    view = numpy.frombuffer(text.encode(), numpy.uint8).astype(numpy.uint64)
    count = len(view) - PIECE_BYTES + 1
    if count < 1:
        return Sketch(numpy.empty(0, numpy.uint32), whole=True)
    pieces = numpy.zeros(count, numpy.uint64)
    for offset in range(PIECE_BYTES):
        pieces = (pieces << numpy.uint64(8)) | view[offset : offset + count]
    hashes = ((pieces * _MULTIPLIER) >> numpy.uint64(32)).astype(numpy.uint32)
    if count > _SAMPLED_PIECES:
        hashes = hashes[hashes < 2**32 * _SAMPLED_PIECES // count]
    unique = numpy.unique(hashes)
    whole = count <= _SAMPLED_PIECES and len(unique) <= SKETCH_SIZE
    return Sketch(unique[:SKETCH_SIZE].copy(), whole)


def common_pieces(sketches: Sequence[Sketch]) -> Hashes:
    """Finds what stands in a fifth of all texts and in three of them at least."""
    if not sketches:
        return numpy.empty(0, numpy.uint32)
    pieces, counts = numpy.unique(
        numpy.concatenate([entry.hashes for entry in sketches]), return_counts=True
    )
    return pieces[counts >= max(3, math.ceil(COMMON_SHARE * len(sketches)))]


def find_near_pairs(sketches: Sequence[Sketch], alike: float = ALIKE) -> list[NearPair]:
    """Finds, for every text, the first earlier one that it is nearly the same as.

    Args:
        sketches: One a text.
        alike: Jaccard index from which on a pair is reported.

    Returns:
        At most one pair a text, in order of the later text.
    """
    own = _without(sketches, common_pieces(sketches))
    if not own:
        return []
    pieces, counts = numpy.unique(
        numpy.concatenate([entry.hashes for entry in own]), return_counts=True
    )
    index: defaultdict[int, list[int]] = defaultdict(list)
    pairs = []
    for position, entry in enumerate(own):
        size = len(entry.hashes)
        if size < _FEWEST_PIECES:
            continue
        rarity = counts[numpy.searchsorted(pieces, entry.hashes)]
        rarest = entry.hashes[numpy.argsort(rarity, kind="stable")]
        prefix = rarest[: size - math.ceil(alike * size) + 1].tolist()
        candidates = {earlier for piece in prefix for earlier in index.get(piece, ())}
        pair = _first_alike(own, sorted(candidates), position, alike)
        if pair:
            pairs.append(pair)
        else:
            # What is like an earlier text is found through that one.
            for piece in prefix:
                index[piece].append(position)
    return pairs


def likeness(first: Sketch, second: Sketch) -> float:
    """Estimates the Jaccard index of two texts' pieces; exact where both sketches are whole."""
    ends = [entry.hashes[-1] for entry in (first, second) if not entry.whole and len(entry.hashes)]
    one, other = first.hashes, second.hashes
    if ends:
        # Beyond the end of a sample nothing is known about its text.
        one, other = one[one <= min(ends)], other[other <= min(ends)]
    shared = len(numpy.intersect1d(one, other, assume_unique=True))
    union = len(one) + len(other) - shared
    return shared / union if union else 0.0


def _first_alike(
    own: Sequence[Sketch], candidates: Sequence[int], position: int, alike: float
) -> NearPair | None:
    size = len(own[position].hashes)
    for earlier in candidates:
        other = len(own[earlier].hashes)
        if min(size, other) >= alike * max(size, other):
            found = likeness(own[earlier], own[position])
            if found >= alike:
                return NearPair(earlier, position, found)
    return None


def _without(sketches: Sequence[Sketch], common: Hashes) -> list[Sketch]:
    return [
        Sketch(entry.hashes[~numpy.isin(entry.hashes, common, assume_unique=True)], entry.whole)
        for entry in sketches
    ]
