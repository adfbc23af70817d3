"""Sketches of texts, and how much two of them are alike.

A text's sketch is the set of its five-byte pieces, hashed; of long texts the 512 smallest hashes, a
fair sample. Likeness is the Jaccard index of two sketches (Broder 1997). What stands in a fifth of
all texts, such as an instruction, says nothing about likeness and is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy
from numpy.typing import NDArray

Hashes: TypeAlias = NDArray[numpy.uint32]

PIECE_BYTES = 5
SKETCH_SIZE = 512
# Share of all texts from which on a piece counts as common to them.
COMMON_SHARE = 0.2
# Jaccard index from which on two texts are called nearly the same.
ALIKE = 0.8
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


class Sketches(Protocol):
    """Sketches by their numbers, in memory or on disk."""

    def __len__(self) -> int:
        """Counts them."""
        ...

    def __getitem__(self, number: int, /) -> Sketch:
        """Gives one."""
        ...


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
    # numpy.unique makes a hash table, which takes ten times as long for so few.
    hashes.sort()
    is_new = numpy.ones(len(hashes), numpy.bool_)
    is_new[1:] = hashes[1:] != hashes[:-1]
    unique = hashes[is_new]
    whole = count <= _SAMPLED_PIECES and len(unique) <= SKETCH_SIZE
    return Sketch(unique[:SKETCH_SIZE].copy(), whole)


def common_pieces(sketches: Iterable[Sketch]) -> Hashes:
    """Finds what stands in a fifth of all texts and in three of them at least."""
    hashes = [entry.hashes for entry in sketches]
    if not hashes:
        return numpy.empty(0, numpy.uint32)
    pieces, counts = numpy.unique(numpy.concatenate(hashes), return_counts=True)
    return pieces[counts >= max(3, math.ceil(COMMON_SHARE * len(hashes)))]


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


def without(entry: Sketch, common: Hashes) -> Sketch:
    """Leaves out what is common to all texts.

    Args:
        entry: A text's sketch.
        common: Of ``common_pieces``.

    Returns:
        A sketch of the text's own pieces.
    """
    if not len(common):
        return entry
    return Sketch(entry.hashes[~_stand_in(entry.hashes, common)], entry.whole)


def count_shared(entry: Sketch, common: Hashes) -> int:
    """Counts the pieces of a text that are common to all.

    Args:
        entry: A text's sketch.
        common: Of ``common_pieces``.
    """
    return int(_stand_in(entry.hashes, common).sum()) if len(common) else 0


def _stand_in(hashes: Hashes, ascending: Hashes) -> NDArray[numpy.bool_]:
    """Tells which hashes stand among others, of which there is one at least."""
    nearest = numpy.minimum(numpy.searchsorted(ascending, hashes), len(ascending) - 1)
    return numpy.equal(ascending[nearest], hashes)
