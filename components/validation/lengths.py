"""Lengths of very many texts: counted, not listed, so that they take little memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray


class LengthCounts:
    """How often each length occurs."""

    def __init__(self, lengths: Iterable[int] = ()) -> None:
        """Counts lengths."""
        self._counts = Counter(lengths)

    def add(self, length: int) -> None:
        """Counts one."""
        self._counts[length] += 1

    def update(self, lengths: Iterable[int]) -> None:
        """Counts several."""
        self._counts.update(lengths)

    def __len__(self) -> int:
        """Gives how many were counted."""
        return self._counts.total()

    def values(self) -> NDArray[numpy.int64]:
        """Lists them, ascending; shape (count,)."""
        lengths = numpy.array(sorted(self._counts), numpy.int64)
        return numpy.repeat(lengths, [self._counts[int(length)] for length in lengths])


@dataclass(frozen=True)
class Lengths:
    """The distribution of a length.

    Attributes:
        count: How many were measured.
        mean: Their mean.
        minimum: The shortest.
        percentile_50: The median.
        percentile_90: Nine tenths are at most as long.
        percentile_99: All but a hundredth are at most as long.
        maximum: The longest.
        limit: Longer ones are truncated; 0 where nothing is.
        over_limit: How many are longer than the limit.
    """

    count: int
    mean: float
    minimum: int
    percentile_50: int
    percentile_90: int
    percentile_99: int
    maximum: int
    limit: int = 0
    over_limit: int = 0

    @classmethod
    def of(cls, counts: LengthCounts, limit: int = 0) -> Lengths | None:
        """Measures lengths; None where there are none."""
        values = counts.values()
        if not len(values):
            return None
        # "higher" gives lengths that occur, so that "90% are at most" is true.
        middle, high, highest = numpy.percentile(values, [50, 90, 99], method="higher")
        return cls(
            count=len(values),
            mean=round(float(values.mean()), 2),
            minimum=int(values[0]),
            percentile_50=int(middle),
            percentile_90=int(high),
            percentile_99=int(highest),
            maximum=int(values[-1]),
            limit=limit,
            over_limit=int((values > limit).sum()) if limit else 0,
        )
