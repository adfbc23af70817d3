"""Near duplicates among texts: a sketch of every text, and a search that compares few of them.

A text's sketch is the set of its five-byte pieces, hashed; of long texts the 512 smallest hashes, a
fair sample. Likeness is the Jaccard index of two sketches (Broder 1997). Pairs to compare are found
by MinHash in bands (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, 3.4): of the pairs
that are 80% alike 99.7% are found, of those 90% alike all but one in 10^6. What stands in a fifth
of all texts, such as an instruction, says nothing about likeness and is left out.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
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
# A pair of likeness s is compared with probability 1 - (1 - s**ROWS)**BANDS.
_BANDS = 19
_ROWS = 6
# Of many texts that are somewhat alike, as those of one template are, each would be compared with
# all. Those 80% alike share five of the bands on average, those 60% alike one.
_MOST_COMPARED = 64
_MOST_IN_BUCKET = 64
# 2**64 divided by the golden ratio: Knuth's multiplicative hash.
_MULTIPLIER = numpy.uint64(0x9E3779B97F4A7C15)
# Multiplying by an odd number permutes the 32-bit hashes, which are well mixed already.
_FACTORS = numpy.random.default_rng(20_231_114).integers(
    0, 2**32, (_BANDS * _ROWS, 1), numpy.uint32
) | numpy.uint32(1)


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
    buckets: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    pairs = []
    for position, entry in enumerate(own):
        if len(entry.hashes) < _FEWEST_PIECES:
            continue
        bands = list(enumerate(_signature(entry.hashes)))
        shared = Counter(earlier for band in bands for earlier in buckets.get(band, ()))
        candidates = sorted(earlier for earlier, _ in shared.most_common(_MOST_COMPARED))
        pair = _first_alike(own, candidates, position, alike)
        if pair:
            pairs.append(pair)
        else:
            # What is like an earlier text is found through that one.
            for band in bands:
                if len(buckets[band]) < _MOST_IN_BUCKET:
                    buckets[band].append(position)
    return pairs


def _signature(hashes: Hashes) -> list[bytes]:
    """Gives the MinHash of a set, cut into bands."""
    smallest = (_FACTORS * hashes).min(axis=1)
    return [band.tobytes() for band in smallest.reshape(_BANDS, _ROWS)]


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
    if not len(common):
        return list(sketches)
    return [
        Sketch(entry.hashes[~_stand_in(entry.hashes, common)], entry.whole) for entry in sketches
    ]


def _stand_in(hashes: Hashes, ascending: Hashes) -> NDArray[numpy.bool_]:
    """Tells which hashes stand among others, of which there is one at least."""
    nearest = numpy.minimum(numpy.searchsorted(ascending, hashes), len(ascending) - 1)
    return numpy.equal(ascending[nearest], hashes)
